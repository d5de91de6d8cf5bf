"""What a flush does, counted: SQL statements and Python calls. Unlike time, counts are the same on every machine."""

from __future__ import annotations

import sys
from types import FrameType

from sqlalchemy import event, select
from sqlalchemy.orm import Session

from benchmarks.subjects import open_orm
from benchmarks.subjects.models import change, new_product
from benchmarks.workload import Case, Metric, Sample, Workload


class Counts(Workload):
    """What happens between the begin of ``commit`` and its end."""

    name = "counts"
    title = "Statements and calls of a flush"
    about = (
        "SQL statements that `session.commit()` sends for so many new or changed objects (BEGIN and COMMIT not "
        "counted; one `executemany`, however it travels, is one), and Python functions that it calls."
    )
    metrics = (Metric(name="statements", unit="statements"), Metric(name="python_calls", unit="calls"))
    subjects = ("plain", "ours", "continuum", "postgresql_audit")
    baseline = "plain"
    cases = (
        Case(label="1 new object", params={"what": "insert", "rows": 1}, rounds=1, warmups=2),
        Case(label="100 new objects", params={"what": "insert", "rows": 100}, rounds=1, warmups=2),
        Case(label="1 changed object", params={"what": "update", "rows": 1}, rounds=1, warmups=2),
        Case(label="100 changed objects", params={"what": "update", "rows": 100}, rounds=1, warmups=2),
    )

    def prepare(self) -> None:
        """Make the tables, and as many objects as one flush changes."""
        self._orm = open_orm(self.place)
        self._rows = self.case.number("rows")
        self._insert()

    def round(self) -> Sample:
        """Count one commit."""
        return self._insert() if self.case.text("what") == "insert" else self._update()

    def _insert(self) -> Sample:
        with Session(self._orm.engine) as session:
            session.add_all([new_product(self._orm.product, number) for number in range(self._rows)])
            return self._commit(session)

    def _update(self) -> Sample:
        with Session(self._orm.engine) as session:
            for found in session.scalars(select(self._orm.product)):
                change(found)
            return self._commit(session)

    def _commit(self, session: Session) -> Sample:
        statements: list[str] = []
        calls = 0

        def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
            statements.append(statement)

        def profile(_frame: FrameType, kind: str, _argument: object) -> None:
            nonlocal calls
            calls += kind == "call"

        event.listen(self._orm.engine, "before_cursor_execute", note)
        sys.setprofile(profile)
        try:
            session.commit()
        finally:
            sys.setprofile(None)
            event.remove(self._orm.engine, "before_cursor_execute", note)
        return {"statements": len(statements), "python_calls": calls}

    def close(self) -> None:
        """Close the connections."""
        self._orm.engine.dispose()


WORKLOAD = Counts
