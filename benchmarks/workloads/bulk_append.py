"""Bulk append: many events of new streams in one transaction, beside COPY of the same rows."""

from __future__ import annotations

import gc
from time import perf_counter

from benchmarks.subjects import open_log
from benchmarks.subjects.event_data import batch
from benchmarks.workload import Case, Metric, Sample, Workload


class BulkAppend(Workload):
    """One call with all events, on one connection."""

    name = "bulk_append"
    title = "Bulk append"
    about = (
        "Events of 256 bytes of JSON for new streams, appended by the fastest way each subject has, on one connection, "
        "in one transaction where the subject can (eventsourcing: puts of 250, see its file). The raw COPY BINARY "
        "writes the same rows, streams and events, into tables with the same columns and indexes, without locks, "
        "versions, order or partitions. Python's encoding of the events is part of the time for everyone."
    )
    metrics = (Metric(name="events_per_second", unit="events/s", better="higher"),)
    subjects = ("raw", "ours", "eventsourcing", "eventsourcing_functions")
    baseline = "raw"
    cases = (
        Case(label="1 event a stream", params={"events": 20_000, "events_a_stream": 1}, rounds=7),
        Case(label="10 events a stream", params={"events": 20_000, "events_a_stream": 10}, rounds=7),
        Case(
            label="10 events a stream, 200,000 at once",
            params={"events": 200_000, "events_a_stream": 10},
            full_only=True,
        ),
    )

    def prepare(self) -> None:
        """Make the tables."""
        self._log = open_log(self.place)
        self._appended = 0

    def round(self) -> Sample:
        """Append once."""
        events = self.case.number("events")
        streams = batch(events, self.case.number("events_a_stream"))
        gc.collect()
        start = perf_counter()
        self._log.append_many(streams)
        seconds = perf_counter() - start
        self._appended += events
        return {"events_per_second": events / seconds}

    def check(self) -> None:
        """Every event is there."""
        found = self._log.count()
        if found != self._appended:
            raise AssertionError(f"{found:,} events of {self._appended:,}")

    def close(self) -> None:
        """Close the connections."""
        self._log.close()


WORKLOAD = BulkAppend
