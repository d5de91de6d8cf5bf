"""Many writers at once: threads in a few processes.

One Python process cannot keep a server busy, so a crew is a few of them (a workload's *members*), each with its part of
the writers. All begin a round at the same time, and go on for a number of seconds; what they did is put together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

from benchmarks.figures import percentile
from benchmarks.workload import Place, Sample

__all__ = ["Crew", "combine", "processes"]

MOST_PROCESSES = 4
MOST_CONNECTIONS = 64
"""Of all processes together: more than a server of a few cores has use for."""


def processes(writers: int) -> int:
    """Return how many processes so many writers are spread over."""
    return min(MOST_PROCESSES, writers)


def combine(samples: Sequence[Sample], rate: str) -> dict[str, float]:
    """Put the processes' measurements of one round together.

    Args:
        samples: of each process, with ``seconds`` and ``latencies`` in milliseconds.
        rate: what the rate is called.

    Raises:
        TypeError: a sample is no crew's.
        ValueError: nobody got anything done.
    """
    per_second = 0.0
    latencies: list[float] = []
    for sample in samples:
        own, seconds = sample["latencies"], sample["seconds"]
        if not isinstance(own, list) or isinstance(seconds, list):
            raise TypeError("a crew's sample has a list of latencies and a number of seconds")
        per_second += len(own) / seconds
        latencies.extend(own)
    return {
        rate: per_second,
        "p50": percentile(latencies, 50),
        "p95": percentile(latencies, 95),
        "p99": percentile(latencies, 99),
        "p99_9": percentile(latencies, 99.9),
    }


class Crew:
    """This process's part of the writers.

    Args:
        place: which process of how many.
        writers: of all processes together.
    """

    def __init__(self, place: Place, writers: int) -> None:
        low, extra = divmod(writers, place.members)
        self.writers = low + (place.member < extra)
        self.connections = min(self.writers, max(1, MOST_CONNECTIONS // place.members))
        self.done = 0

    def run(self, write: Callable[[int], object], seconds: float) -> Sample:
        """Let every writer write, one time after the other.

        Args:
            write: does it once, for the writer of that number (from 0 within this process).
            seconds: for how long.
        """

        def writer(number: int, until: float) -> list[float]:
            latencies = []
            while (start := perf_counter()) < until:
                write(number)
                latencies.append((perf_counter() - start) * 1_000)
            return latencies

        with ThreadPoolExecutor(self.writers) as pool:
            began = perf_counter()
            done = list(pool.map(writer, range(self.writers), [began + seconds] * self.writers))
            elapsed = perf_counter() - began
        latencies = [latency for own in done for latency in own]
        self.done += len(latencies)
        return {"seconds": elapsed, "latencies": latencies}
