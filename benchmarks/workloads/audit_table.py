"""The audit: every row against the fold of its events."""

from __future__ import annotations

from time import perf_counter

from benchmarks.subjects import open_orm
from benchmarks.subjects.filling import fill_products, tidy
from benchmarks.workload import Case, Metric, Sample, Workload


class AuditTable(Workload):
    """``audit(connection, Product)``."""

    name = "audit_table"
    title = "Audit a table"
    about = (
        "`audit(connection, Product)` of a table of eight columns: one statement folds every stream from its first "
        "event and compares it with its row."
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
        """Audit once."""
        from lithair_sqla import audit  # noqa: PLC0415 - only this subject's process imports it

        with self._orm.engine.connect() as connection:
            start = perf_counter()
            report = audit(connection, self._orm.product)
            seconds = perf_counter() - start
        if not report or report.rows != self.case.number("rows"):
            raise AssertionError(str(report))
        return {"rows_per_second": report.rows / seconds}

    def close(self) -> None:
        """Close the connections."""
        self._orm.engine.dispose()


WORKLOAD = AuditTable
