"""What this machine allows anyone: one round trip, one commit to disk."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import psycopg
from psycopg import sql

from benchmarks.dsn import conninfo
from benchmarks.figures import percentile
from benchmarks.workload import Case, Metric, Sample, Workload


class Limits(Workload):
    """One connection of psycopg, doing the least that can be done."""

    name = "limits"
    title = "The machine's limits"
    about = (
        "One psycopg connection. A round trip is `SELECT 1`; a commit is an INSERT of one row of 256 bytes into a "
        "table without an index, in a transaction of its own (which waits for fsync); the same without waiting for the "
        "disk is what `synchronous_commit = off` would give."
    )
    metrics = (
        Metric(name="p50", unit="ms"),
        Metric(name="p99", unit="ms"),
        Metric(name="operations_per_second", unit="operations/s", better="higher"),
    )
    subjects = ("raw",)
    cases = (
        Case(label="round trip", params={"what": "round trip", "times": 3_000}),
        Case(label="commit", params={"what": "commit", "times": 1_000}),
        Case(label="commit without fsync", params={"what": "commit without fsync", "times": 1_000}),
    )

    def prepare(self) -> None:
        """Connect and make the table."""
        self._connection = psycopg.connect(conninfo(self.place.url), autocommit=True)
        self._connection.execute("CREATE TABLE line (text text)")
        if self.case.text("what") == "commit without fsync":
            self._connection.execute("SET synchronous_commit = off")

    def round(self) -> Sample:
        """Do it so often, one after the other."""
        step: Callable[[], object] = self._round_trip if self.case.text("what") == "round trip" else self._commit
        times = []
        began = perf_counter()
        for _ in range(self.case.number("times")):
            start = perf_counter()
            step()
            times.append((perf_counter() - start) * 1_000)
        seconds = perf_counter() - began
        return {
            "p50": percentile(times, 50),
            "p99": percentile(times, 99),
            "operations_per_second": len(times) / seconds,
        }

    def _round_trip(self) -> object:
        return self._connection.execute("SELECT 1").fetchone()

    def _commit(self) -> object:
        return self._connection.execute(_INSERT, ("x" * 256,))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


_INSERT = sql.SQL("INSERT INTO line VALUES (%s)")

WORKLOAD = Limits
