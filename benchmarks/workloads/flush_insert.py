"""Flush and commit of new objects: the price of history where an application creates."""

from __future__ import annotations

import gc
from statistics import median
from time import perf_counter

from sqlalchemy.orm import Session

from benchmarks.subjects import open_orm
from benchmarks.subjects.history import check_history
from benchmarks.subjects.models import new_product, new_wide
from benchmarks.workload import Case, Metric, Sample, Workload

ENOUGH_SECONDS = 1.0
"""A round of a slow subject ends early: its median needs fewer repetitions than a fast one's."""


class FlushInsert(Workload):
    """Sessions with so many new objects each, committed."""

    name = "flush_insert"
    title = "Flush of new objects"
    about = (
        "`session.commit()` of a session with so many new objects of eight columns (wide: thirty), keys made by the "
        "application. The objects are made before the clock starts. A round is the median of its repetitions."
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
        """Make the tables."""
        self._orm = open_orm(self.place)
        self._made = 0

    def round(self) -> Sample:
        """Commit so many sessions, and take the median."""
        wide = bool(self.case.params.get("wide"))
        new, kind = (new_wide, self._orm.wide) if wide else (new_product, self._orm.product)
        rows = self.case.number("rows")
        times = []
        gc.collect()
        for _ in range(self.case.number("repeat")):
            with Session(self._orm.engine) as session:
                session.add_all([new(kind, self._made + number) for number in range(rows)])
                start = perf_counter()
                session.commit()
                times.append(perf_counter() - start)
            self._made += rows
            if sum(times) > ENOUGH_SECONDS:
                break
        return {"milliseconds": median(times) * 1_000}

    def check(self) -> None:
        """Every object has its history."""
        check_history(self._orm, self._made)

    def close(self) -> None:
        """Close the connections."""
        self._orm.engine.dispose()


WORKLOAD = FlushInsert
