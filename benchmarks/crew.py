"""Many writers at once: threads in a few processes, over a pool of connections.

One Python process cannot keep a server busy, so a crew is a few of them (a workload's *members*), each with its part of
the writers. All begin a round at the same time, and go on for a number of seconds; what they did is put together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from uuid import UUID, uuid4

from benchmarks.figures import percentile
from benchmarks.subjects.event_data import event_data
from benchmarks.subjects.interfaces import Log
from benchmarks.workload import Place, Sample

__all__ = ["MOST_CONNECTIONS", "Crew", "combine", "processes"]

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
        self.appended = 0
        self._versions: dict[UUID, int] = {}

    def start(self, log: Log, *, size_bytes: int, streams: Sequence[UUID] | None = None) -> None:
        """Give each writer a stream of its own, or all of them the streams given, with an event in each.

        Args:
            log: what is written to.
            size_bytes: of an event's data.
            streams: shared by all writers, and begun by someone else.
        """
        self._log = log
        self._data = event_data(1, size_bytes)
        self._streams = list(streams) if streams is not None else [uuid4() for _ in range(self.writers)]
        if streams is None:
            for stream in self._streams:
                self._versions[stream] = log.append(stream, [self._data], 0)
                self.appended += 1

    def append(self, seconds: float, *, conditional: bool) -> Sample:
        """Let every writer append one event after the other to its stream.

        Args:
            seconds: for how long.
            conditional: at the version it expects, not at any.
        """

        def write(number: int, until: float) -> list[float]:
            stream = self._streams[number % len(self._streams)]
            version = self._versions.get(stream, 0)
            latencies = []
            while (start := perf_counter()) < until:
                version = self._log.append(stream, [self._data], version if conditional else None)
                latencies.append((perf_counter() - start) * 1_000)
            self._versions[stream] = version
            return latencies

        return self._run(write, seconds)

    def _run(self, write: Callable[[int, float], list[float]], seconds: float) -> Sample:
        with ThreadPoolExecutor(self.writers) as pool:
            began = perf_counter()
            done = list(pool.map(write, range(self.writers), [began + seconds] * self.writers))
            elapsed = perf_counter() - began
        latencies = [latency for own in done for latency in own]
        self.appended += len(latencies)
        return {"seconds": elapsed, "latencies": latencies}
