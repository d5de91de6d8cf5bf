"""Flush and commit of changed objects: the price of history where an application changes."""

from __future__ import annotations

import gc
from statistics import median
from time import perf_counter

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from benchmarks.subjects import open_orm
from benchmarks.subjects.history import check_history
from benchmarks.subjects.models import change, new_product, new_wide
from benchmarks.workload import Case, Metric, Sample, Workload

ENOUGH_SECONDS = 1.0
"""A round of a slow subject ends early: its median needs fewer repetitions than a fast one's."""


class FlushUpdate(Workload):
    """Sessions with so many changed objects each, committed."""

    name = "flush_update"
    title = "Flush of changed objects"
    about = (
        "`session.commit()` of a session in which two columns of so many loaded objects of eight (wide: thirty) were "
        "changed. Loading and changing are done before the clock starts. A round is the median of its repetitions."
    )
    metrics = (Metric(name="milliseconds", unit="ms"),)
    subjects = ("plain", "ours", "continuum", "postgresql_audit")
    baseline = "plain"
    cases = (
        Case(label="1 object", params={"rows": 1, "repeat": 100}, rounds=7),
        Case(label="10 objects", params={"rows": 10, "repeat": 40}, rounds=7),
        Case(label="100 objects", params={"rows": 100, "repeat": 10}, full_only=True),
        Case(label="1,000 objects", params={"rows": 1_000, "repeat": 3}, rounds=7),
        Case(label="10,000 objects", params={"rows": 10_000, "repeat": 1}, full_only=True),
        Case(label="1,000 wide objects", params={"rows": 1_000, "repeat": 2, "wide": True}, full_only=True),
    )

    def prepare(self) -> None:
        """Make the tables, and as many objects as one flush changes."""
        self._orm = open_orm(self.place)
        wide = bool(self.case.params.get("wide"))
        new, self._kind = (new_wide, self._orm.wide) if wide else (new_product, self._orm.product)
        rows = self.case.number("rows")
        with Session(self._orm.engine) as session:
            session.add_all([new(self._kind, number) for number in range(rows)])
            session.commit()
        self._changes = rows

    def round(self) -> Sample:
        """Load, change and commit so often, and take the median of the commits."""
        times = []
        gc.collect()
        for _ in range(self.case.number("repeat")):
            with Session(self._orm.engine) as session:
                found = session.scalars(select(self._kind)).all()
                for item in found:
                    change(item)
                start = perf_counter()
                session.commit()
                times.append(perf_counter() - start)
            self._changes += len(found)
            if sum(times) > ENOUGH_SECONDS:
                break
        return {"milliseconds": median(times) * 1_000}

    def check(self) -> None:
        """Every object is still there, and every change has its history."""
        with self._orm.engine.connect() as connection:
            rows = connection.execute(select(func.count()).select_from(self._kind)).scalar_one()
        if rows != self.case.number("rows"):
            raise AssertionError(f"{rows} rows in place of {self.case.number('rows')}")
        check_history(self._orm, self._changes)

    def close(self) -> None:
        """Close the connections."""
        self._orm.engine.dispose()


WORKLOAD = FlushUpdate
