"""Reading streams: the usual short one among many, and a long one."""

from __future__ import annotations

import random
from time import perf_counter

from benchmarks.figures import percentile
from benchmarks.subjects import open_log
from benchmarks.subjects.event_data import batch
from benchmarks.workload import Case, Metric, Sample, Workload


class ReadStream(Workload):
    """All events of one stream into records, streams drawn by chance."""

    name = "read_stream"
    title = "Read a stream"
    about = (
        "All events (256 bytes of JSON) of a stream drawn by chance, into the subject's own records, on one "
        "connection. Ours reads on an AUTOCOMMIT connection, as eventsourcing does."
    )
    metrics = (
        Metric(name="p50", unit="ms"),
        Metric(name="p95", unit="ms"),
        Metric(name="p99", unit="ms"),
        Metric(name="p99_9", unit="ms"),
        Metric(name="events_per_second", unit="events/s", better="higher"),
    )
    subjects = ("ours", "eventsourcing")
    baseline = "eventsourcing"
    cases = (
        Case(label="10 events", params={"streams": 500, "events_a_stream": 10, "reads": 1_000}),
        Case(label="1,000 events", params={"streams": 10, "events_a_stream": 1_000, "reads": 20}),
    )

    def prepare(self) -> None:
        """Fill the log."""
        self._log = open_log(self.place)
        each = self.case.number("events_a_stream")
        streams = batch(self.case.number("streams") * each, each)
        self._log.append_many(streams)
        self._keys = [key for key, _ in streams]
        self._random = random.Random(1)  # noqa: S311 - the same draws for everyone

    def round(self) -> Sample:
        """Read so many streams, one after the other."""
        reads, each = self.case.number("reads"), self.case.number("events_a_stream")
        keys = self._random.choices(self._keys, k=reads)
        times = []
        began = perf_counter()
        for key in keys:
            start = perf_counter()
            found = self._log.read(key)
            times.append((perf_counter() - start) * 1_000)
            if found != each:
                raise AssertionError(f"{found} events of {each}")
        seconds = perf_counter() - began
        return {
            "p50": percentile(times, 50),
            "p95": percentile(times, 95),
            "p99": percentile(times, 99),
            "p99_9": percentile(times, 99.9),
            "events_per_second": reads * each / seconds,
        }

    def close(self) -> None:
        """Close the connections."""
        self._log.close()


WORKLOAD = ReadStream
