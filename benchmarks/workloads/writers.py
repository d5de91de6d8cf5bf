"""Many writers, each with its own stream, one event a transaction: what a service of many requests does."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

from benchmarks.crew import Crew, combine, processes
from benchmarks.subjects import open_log
from benchmarks.subjects.event_data import event_data
from benchmarks.workload import Case, Metric, Sample, Workload


def _case(writers: int, *, conditional: bool, size_bytes: int = 256, full_only: bool = False) -> Case:
    label = f"{writers:,} writer{'s' if writers > 1 else ''}, {'expected' if conditional else 'any'} version"
    return Case(
        label=label if size_bytes == 256 else f"{label}, {size_bytes} B",
        params={"writers": writers, "conditional": conditional, "bytes": size_bytes, "seconds": 2},
        full_only=full_only,
    )


class Writers(Workload):
    """Threads of a few processes that append over a pool, for two seconds a round."""

    name = "writers"
    title = "Many writers"
    about = (
        "So many writers, in threads of at most four processes, over a pool of at most 64 connections, for two "
        "seconds: each appends one event of 256 bytes a transaction to a stream of its own, at the version it expects "
        "or at any. `ours_autocommit` appends on AUTOCOMMIT connections; eventsourcing has no append at any version, "
        "so it reads the newest first; raw is an INSERT and a COMMIT, without versions or order."
    )
    metrics = (
        Metric(name="appends_per_second", unit="appends/s", better="higher"),
        Metric(name="p50", unit="ms"),
        Metric(name="p95", unit="ms"),
        Metric(name="p99", unit="ms"),
        Metric(name="p99_9", unit="ms"),
    )
    subjects = ("raw", "ours", "ours_autocommit", "eventsourcing", "eventsourcing_functions")
    baseline = "raw"
    cases = (
        _case(1, conditional=True),
        _case(16, conditional=True, full_only=True),
        _case(64, conditional=True),
        _case(64, conditional=False),
        _case(256, conditional=True, full_only=True),
        _case(1_024, conditional=True, full_only=True),
        _case(1_024, conditional=False, full_only=True),
        _case(1, conditional=True, size_bytes=512, full_only=True),
        _case(64, conditional=True, size_bytes=512, full_only=True),
    )

    @classmethod
    def members(cls, case: Case) -> int:
        """Use a few processes: one Python does not keep a server busy."""
        return processes(case.number("writers"))

    @classmethod
    def combine(cls, samples: Sequence[Sample]) -> dict[str, float]:
        """Add up the processes' rates, and take percentiles over all their appends."""
        return combine(samples, "appends_per_second")

    def prepare(self) -> None:
        """Make the tables, and the streams' first events."""
        self._crew = Crew(self.place, self.case.number("writers"))
        self._log = open_log(self.place, connections=self._crew.connections)
        self._data = [event_data(1, self.case.number("bytes"))]
        self._streams = [uuid4() for _ in range(self._crew.writers)]
        self._versions = [self._log.append(stream, self._data, 0) for stream in self._streams]

    def round(self) -> Sample:
        """Append for so many seconds."""
        return self._crew.run(self._append, self.case.number("seconds"))

    def _append(self, writer: int) -> None:
        expected = self._versions[writer] if self.case.params["conditional"] else None
        self._versions[writer] = self._log.append(self._streams[writer], self._data, expected)

    def check(self) -> None:
        """Every append that was acknowledged to this process is there."""
        found = self._log.count()
        expected = self._crew.done + len(self._streams)
        if found < expected:
            raise AssertionError(f"{found:,} events of {expected:,}")

    def close(self) -> None:
        """Close the connections."""
        self._log.close()


WORKLOAD = Writers
