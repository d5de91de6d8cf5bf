"""A plain SQL UPDATE of many rows: what capture costs without an ORM around it."""

from __future__ import annotations

from time import perf_counter

from benchmarks.subjects import open_orm
from benchmarks.subjects.filling import fill_products, tidy, update_products
from benchmarks.subjects.history import check_history
from benchmarks.workload import Case, Metric, NotPossible, Sample, Workload


class SqlUpdate(Workload):
    """One UPDATE of all rows, committed."""

    name = "sql_update"
    title = "SQL UPDATE of many rows"
    about = (
        "`UPDATE product SET stock = stock + 1, price = price + 0.01`, committed, in a table of so many rows of eight "
        "columns. It shows the capture alone: no ORM dilutes it. The table is vacuumed between rounds."
    )
    metrics = (Metric(name="microseconds_a_row", unit="µs"),)
    subjects = ("plain", "ours", "postgresql_audit", "continuum")
    baseline = "plain"
    cases = (
        Case(label="10,000 rows", params={"rows": 10_000}, rounds=7),
        Case(label="400,000 rows", params={"rows": 400_000}, full_only=True),
    )

    def prepare(self) -> None:
        """Fill the table."""
        self._orm = open_orm(self.place)
        if not self._orm.sees_sql:
            raise NotPossible("it sees the session's flush only: such a statement leaves no trace in its history")
        fill_products(self._orm, self.case.number("rows"))
        self._changes = self.case.number("rows")

    def round(self) -> Sample:
        """Update once."""
        tidy(self._orm.engine)
        start = perf_counter()
        with self._orm.engine.begin() as connection:
            rows = update_products(connection)
        seconds = perf_counter() - start
        self._changes += rows
        return {"microseconds_a_row": seconds * 1e6 / rows}

    def check(self) -> None:
        """Every row's change has its history."""
        check_history(self._orm, self._changes)

    def close(self) -> None:
        """Close the connections."""
        self._orm.engine.dispose()


WORKLOAD = SqlUpdate
