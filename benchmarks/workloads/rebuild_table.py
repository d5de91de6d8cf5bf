"""Rebuilding an emptied table from its log."""

from __future__ import annotations

from time import perf_counter

from sqlalchemy import Engine, text

from benchmarks.subjects import open_orm
from benchmarks.subjects.filling import fill_products, tidy
from benchmarks.workload import Case, Metric, Sample, Workload


class RebuildTable(Workload):
    """``rebuild(engine, Product)`` of a table that lost its rows."""

    name = "rebuild_table"
    title = "Rebuild a table"
    about = (
        "`rebuild(engine, Product)` of a table of eight columns whose rows were taken away behind the guard's back, on "
        "one connection; each row's stream has so many events, and no snapshots."
    )
    metrics = (Metric(name="rows_per_second", unit="rows/s", better="higher"),)
    subjects = ("ours",)
    cases = (
        Case(label="3 events a row", params={"rows": 20_000, "updates": 2}),
        Case(label="10 events a row", params={"rows": 100_000, "updates": 9}, full_only=True),
    )

    def prepare(self) -> None:
        """Fill table and log."""
        self._orm = open_orm(self.place)
        fill_products(self._orm, self.case.number("rows"), updates=self.case.number("updates"))
        tidy(self._orm.engine)

    def round(self) -> Sample:
        """Empty the table, then rebuild it."""
        from lithair_sqla import rebuild  # noqa: PLC0415 - only this subject's process imports it

        _empty(self._orm.engine)
        start = perf_counter()
        reports = rebuild(self._orm.engine, self._orm.product)
        seconds = perf_counter() - start
        if sum(report.written for report in reports) != self.case.number("rows"):
            raise AssertionError(f"not every row was written: {reports}")
        return {"rows_per_second": self.case.number("rows") / seconds}

    def check(self) -> None:
        """The audit is clean."""
        from lithair_sqla import audit  # noqa: PLC0415 - only this subject's process imports it

        with self._orm.engine.connect() as connection:
            report = audit(connection, self._orm.product)
        if not report:
            raise AssertionError(str(report))

    def close(self) -> None:
        """Close the connections."""
        self._orm.engine.dispose()


def _empty(engine: Engine) -> None:
    from lithair_sqla.schema.guards import GUARD_TRIGGER, TRUNCATE_TRIGGER  # noqa: PLC0415 - likewise

    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE product DISABLE TRIGGER USER"))
        connection.execute(text("TRUNCATE product"))
        for trigger in (GUARD_TRIGGER, TRUNCATE_TRIGGER):
            connection.execute(text(f'ALTER TABLE product ENABLE ALWAYS TRIGGER "{trigger}"'))


WORKLOAD = RebuildTable
