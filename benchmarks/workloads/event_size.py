"""What an event takes on disk."""

from __future__ import annotations

from benchmarks.subjects import open_log
from benchmarks.subjects.event_data import batch
from benchmarks.workload import Case, Metric, Sample, Workload

EVENTS = 50_000


class EventSize(Workload):
    """A log filled in bulk, then weighed."""

    name = "event_size"
    title = "Bytes an event"
    about = (
        f"{EVENTS:,} events appended in bulk, then `pg_total_relation_size` (heap, indexes, TOAST) of the events' "
        "table or leaves by the number of events, and of the streams' table by the number of streams."
    )
    metrics = (Metric(name="bytes_an_event", unit="B"), Metric(name="bytes_a_stream", unit="B"))
    subjects = ("ours", "eventsourcing")
    baseline = "eventsourcing"
    cases = (
        Case(label="256 B, 10 events a stream", params={"bytes": 256, "events_a_stream": 10}, rounds=1, warmups=0),
        Case(label="512 B, 10 events a stream", params={"bytes": 512, "events_a_stream": 10}, rounds=1, warmups=0),
    )

    def prepare(self) -> None:
        """Fill the log."""
        self._log = open_log(self.place)
        each = self.case.number("events_a_stream")
        self._log.append_many(batch(EVENTS, each, self.case.number("bytes")))
        self._streams = EVENTS // each

    def round(self) -> Sample:
        """Weigh it."""
        size = self._log.size_bytes()
        return {"bytes_an_event": size["events"] / EVENTS, "bytes_a_stream": size["streams"] / self._streams}

    def close(self) -> None:
        """Close the connections."""
        self._log.close()


WORKLOAD = EventSize
