"""Reading a long stream and making its state of it."""

from __future__ import annotations

from statistics import median
from time import perf_counter
from uuid import uuid4

from benchmarks.subjects import open_log
from benchmarks.subjects.event_data import event_data
from benchmarks.workload import Case, Metric, Sample, Workload

LARGEST_APPEND = 1_000


class RebuildObject(Workload):
    """State of one stream out of all its events, no snapshot at hand."""

    name = "rebuild_object"
    title = "Read and rebuild"
    about = (
        "One stream, no snapshot: read its events (256 bytes of JSON) and make its state of them. Ours: "
        "`EventStore.load`; eventsourcing: `repository.get`. A round is the median of its repetitions."
    )
    metrics = (Metric(name="milliseconds", unit="ms"),)
    subjects = ("ours", "eventsourcing")
    baseline = "eventsourcing"
    cases = (
        Case(label="10 events", params={"events": 10, "repeat": 300}),
        Case(label="1,000 events", params={"events": 1_000, "repeat": 25}, rounds=7),
        Case(label="10,000 events", params={"events": 10_000, "repeat": 3}, full_only=True),
    )

    def prepare(self) -> None:
        """Append the stream, among others."""
        self._log = open_log(self.place)
        self._stream = uuid4()
        events = self.case.number("events")
        for stream in (uuid4(), self._stream, uuid4()):
            for first in range(0, events, LARGEST_APPEND):
                data = [event_data(number) for number in range(first, min(first + LARGEST_APPEND, events))]
                self._log.append(stream, data, expected=first)

    def round(self) -> Sample:
        """Rebuild so often, and take the median."""
        last = event_data(self.case.number("events") - 1)["order"]
        times = []
        for _ in range(self.case.number("repeat")):
            start = perf_counter()
            state = self._log.rebuild(self._stream)
            times.append((perf_counter() - start) * 1_000)
            if state["order"] != last:
                raise AssertionError(f"rebuilt {state['order']} in place of {last}")
        return {"milliseconds": median(times)}

    def close(self) -> None:
        """Close the connections."""
        self._log.close()


WORKLOAD = RebuildObject
