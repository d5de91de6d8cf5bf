"""What a large flush takes in memory."""

from __future__ import annotations

import gc
import resource
import sys

from sqlalchemy.orm import Session

from benchmarks.subjects import open_orm
from benchmarks.subjects.models import new_product
from benchmarks.workload import Case, Metric, Sample, Workload


class Memory(Workload):
    """The process's peak after a flush, less its peak before the commit."""

    name = "memory"
    title = "Memory of a flush"
    about = (
        "The process's peak memory after `session.commit()` of so many new objects, less its peak before, when the "
        "objects were made: what flush and history take. One session in a new process; there is no second round."
    )
    metrics = (Metric(name="megabytes", unit="MB"),)
    subjects = ("plain", "ours", "continuum", "postgresql_audit")
    baseline = "plain"
    cases = (Case(label="5,000 objects", params={"rows": 5_000}, rounds=1, warmups=0),)

    def prepare(self) -> None:
        """Make the tables, and one object, so that everything is loaded that ever will be."""
        self._orm = open_orm(self.place)
        with Session(self._orm.engine) as session:
            session.add(new_product(self._orm.product, 0))
            session.commit()

    def round(self) -> Sample:
        """Commit the objects once."""
        rows = self.case.number("rows")
        with Session(self._orm.engine) as session:
            session.add_all([new_product(self._orm.product, number) for number in range(rows)])
            gc.collect()
            before = _peak_megabytes()
            session.commit()
            return {"megabytes": _peak_megabytes() - before}

    def close(self) -> None:
        """Close the connections."""
        self._orm.engine.dispose()


def _peak_megabytes() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3


WORKLOAD = Memory
