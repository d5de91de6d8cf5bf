"""Snapshots: what one costs, and what it saves."""

from __future__ import annotations

from statistics import median
from time import perf_counter
from uuid import uuid4

from benchmarks.subjects import open_log
from benchmarks.subjects.event_data import event_data
from benchmarks.workload import Case, Metric, Sample, Workload

TAIL = 10


class SnapshotTail(Workload):
    """A stream of a thousand events, its snapshot, and ten events after it."""

    name = "snapshot_tail"
    title = "Snapshots"
    about = (
        f"A stream of 1,000 events (256 bytes of JSON), a snapshot, then {TAIL} events more. Either the state is "
        "loaded from snapshot and tail, or a snapshot is taken of a stream that has none (fold, write, commit). A "
        "round is the median of its repetitions."
    )
    metrics = (Metric(name="milliseconds", unit="ms"),)
    subjects = ("ours", "eventsourcing")
    baseline = "eventsourcing"
    cases = (
        Case(label="snapshot + 10 events", params={"what": "load", "events": 1_000, "repeat": 300}, rounds=7),
        Case(label="take a snapshot", params={"what": "take", "events": 1_000, "repeat": 5}),
    )

    def prepare(self) -> None:
        """Append the stream, and snapshot it where it is to be loaded."""
        self._log = open_log(self.place)
        self._stream = uuid4()
        self._events = self.case.number("events")
        self._log.append(self._stream, [event_data(number) for number in range(self._events)], expected=0)
        if self.case.text("what") == "load":
            self._log.snapshot(self._stream)
            self._append_tail()

    def round(self) -> Sample:
        """Load or take so often, and take the median."""
        times = [
            self._load() if self.case.text("what") == "load" else self._take()
            for _ in range(self.case.number("repeat"))
        ]
        return {"milliseconds": median(times)}

    def _load(self) -> float:
        start = perf_counter()
        state = self._log.rebuild(self._stream)
        milliseconds = (perf_counter() - start) * 1_000
        if state["order"] != event_data(self._events - 1)["order"]:
            raise AssertionError(f"loaded {state['order']}")
        return milliseconds

    def _take(self) -> float:
        stream = uuid4()
        self._log.append(stream, [event_data(number) for number in range(1_000)], expected=0)
        start = perf_counter()
        self._log.snapshot(stream)
        return (perf_counter() - start) * 1_000

    def _append_tail(self) -> None:
        tail = [event_data(number) for number in range(self._events, self._events + TAIL)]
        self._events = self._log.append(self._stream, tail, expected=self._events)

    def close(self) -> None:
        """Close the connections."""
        self._log.close()


WORKLOAD = SnapshotTail
