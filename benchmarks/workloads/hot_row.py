"""One row that everybody changes."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from benchmarks.crew import Crew, combine, processes
from benchmarks.dsn import conninfo
from benchmarks.subjects import open_orm
from benchmarks.subjects.filling import fill_products
from benchmarks.workload import Case, Metric, Sample, Workload


class HotRow(Workload):
    """Sixteen connections that add to one row's stock."""

    name = "hot_row"
    title = "One hot row"
    about = (
        "Sixteen psycopg connections in four processes run `UPDATE product SET stock = stock + 1 WHERE id = …` in "
        "AUTOCOMMIT on one and the same row, for two seconds: how long a transaction holds the row decides."
    )
    metrics = (
        Metric(name="updates_per_second", unit="updates/s", better="higher"),
        Metric(name="p50", unit="ms"),
        Metric(name="p99", unit="ms"),
    )
    subjects = ("plain", "ours", "postgresql_audit")
    baseline = "plain"
    cases = (Case(label="16 sessions", params={"writers": 16, "seconds": 2}),)

    @classmethod
    def members(cls, case: Case) -> int:
        """Use a few processes."""
        return processes(case.number("writers"))

    @classmethod
    def combine(cls, samples: Sequence[Sample]) -> dict[str, float]:
        """Add up the processes' rates, and take percentiles over all their updates."""
        return combine(samples, "updates_per_second")

    def prepare(self) -> None:
        """Make the row, and connect."""
        orm = open_orm(self.place)
        if self.place.first:
            fill_products(orm, 1)
        orm.engine.dispose()
        self._crew = Crew(self.place, self.case.number("writers"))
        dsn = conninfo(self.place.url)
        self._connections = [psycopg.connect(dsn, autocommit=True) for _ in range(self._crew.writers)]
        found = self._connections[0].execute("SELECT id, stock FROM product").fetchone()
        self._key, self._stock = found or (None, 0)

    def round(self) -> Sample:
        """Update for so many seconds."""
        return self._crew.run(self._update, self.case.number("seconds"))

    def _update(self, writer: int) -> None:
        self._connections[writer].execute("UPDATE product SET stock = stock + 1 WHERE id = %s", (self._key,))

    def check(self) -> None:
        """No update was lost."""
        found = self._connections[0].execute("SELECT stock FROM product").fetchone()
        stock = found[0] if found else 0
        if stock < self._stock + self._crew.done:
            raise AssertionError(f"stock {stock}, and one process alone added {self._crew.done}")

    def close(self) -> None:
        """Close the connections."""
        for connection in self._connections:
            connection.close()


WORKLOAD = HotRow
