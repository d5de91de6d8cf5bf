"""One stream that everybody writes to."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from benchmarks.crew import Crew, combine, processes
from benchmarks.subjects import open_log
from benchmarks.subjects.event_data import event_data
from benchmarks.workload import Case, Metric, Sample, Workload

STREAM = UUID(int=42)


class HotStream(Workload):
    """Sixteen writers of one stream."""

    name = "hot_stream"
    title = "One hot stream"
    about = (
        "Sixteen writers in four processes append one event of 256 bytes a transaction to one and the same stream, at "
        "any version, for two seconds. Ours waits for the stream's row; eventsourcing reads the version, and tries "
        "again when another was faster."
    )
    metrics = (
        Metric(name="appends_per_second", unit="appends/s", better="higher"),
        Metric(name="p50", unit="ms"),
        Metric(name="p95", unit="ms"),
        Metric(name="p99", unit="ms"),
    )
    subjects = ("ours", "ours_autocommit", "eventsourcing", "eventsourcing_functions")
    baseline = "eventsourcing"
    cases = (Case(label="16 writers", params={"writers": 16, "seconds": 2}),)

    @classmethod
    def members(cls, case: Case) -> int:
        """Use a few processes."""
        return processes(case.number("writers"))

    @classmethod
    def combine(cls, samples: Sequence[Sample]) -> dict[str, float]:
        """Add up the processes' rates, and take percentiles over all their appends."""
        return combine(samples, "appends_per_second")

    def prepare(self) -> None:
        """Make the tables, and the stream."""
        self._crew = Crew(self.place, self.case.number("writers"))
        self._log = open_log(self.place, connections=self._crew.connections)
        self._data = [event_data(1)]
        if self.place.first:
            self._log.append(STREAM, self._data, 0)

    def round(self) -> Sample:
        """Append for so many seconds."""
        return self._crew.run(self._append, self.case.number("seconds"))

    def _append(self, _: int) -> None:
        self._log.append(STREAM, self._data, None)

    def check(self) -> None:
        """Every append that was acknowledged to this process is there."""
        found = self._log.read(STREAM)
        if found <= self._crew.done:
            raise AssertionError(f"{found:,} events, and {self._crew.done:,} were appended by one process alone")

    def close(self) -> None:
        """Close the connections."""
        self._log.close()


WORKLOAD = HotStream
