"""One-object transactions, as a web request makes them: the latency that a user feels."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from uuid import UUID

from sqlalchemy.orm import Session

from benchmarks.figures import percentile
from benchmarks.subjects import open_orm
from benchmarks.subjects.history import check_history
from benchmarks.subjects.models import change, new_product
from benchmarks.workload import Case, Metric, Sample, Workload

ROWS = 1_000


class SingleObject(Workload):
    """A session for each object, opened and closed."""

    name = "single_object"
    title = "One-object transactions"
    about = (
        "A new session, one object, commit, close; the whole of it is timed. An insert makes an object; an update gets "
        f"one of {ROWS:,} by key, changes two columns and commits. Percentiles are of one round's transactions."
    )
    metrics = (
        Metric(name="p50", unit="ms"),
        Metric(name="p95", unit="ms"),
        Metric(name="p99", unit="ms"),
        Metric(name="transactions_per_second", unit="transactions/s", better="higher"),
    )
    subjects = ("plain", "ours", "continuum", "postgresql_audit")
    baseline = "plain"
    cases = (
        Case(label="insert", params={"what": "insert", "transactions": 400}, rounds=9),
        Case(label="update", params={"what": "update", "transactions": 400}, rounds=9),
    )

    def prepare(self) -> None:
        """Make the tables and the objects that updates find."""
        self._orm = open_orm(self.place)
        objects = [new_product(self._orm.product, number) for number in range(ROWS)]
        self._keys: list[UUID] = [item.id for item in objects]
        with Session(self._orm.engine) as session:
            session.add_all(objects)
            session.commit()
        self._written = ROWS

    def round(self) -> Sample:
        """Run so many transactions one after the other."""
        step: Callable[[int], None] = self._insert if self.case.text("what") == "insert" else self._update
        times = []
        began = perf_counter()
        for _ in range(self.case.number("transactions")):
            start = perf_counter()
            step(self._written)
            times.append((perf_counter() - start) * 1_000)
            self._written += 1
        seconds = perf_counter() - began
        return {
            "p50": percentile(times, 50),
            "p95": percentile(times, 95),
            "p99": percentile(times, 99),
            "transactions_per_second": len(times) / seconds,
        }

    def _insert(self, number: int) -> None:
        with Session(self._orm.engine) as session:
            session.add(new_product(self._orm.product, number))
            session.commit()

    def _update(self, number: int) -> None:
        with Session(self._orm.engine) as session:
            change(session.get_one(self._orm.product, self._keys[number % ROWS]))
            session.commit()

    def check(self) -> None:
        """Every transaction has its history."""
        check_history(self._orm, self._written)

    def close(self) -> None:
        """Close the connections."""
        self._orm.engine.dispose()


WORKLOAD = SingleObject
