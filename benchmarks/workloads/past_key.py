"""One row as it was: a select by key at a past moment, beside the same select on the live table."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from statistics import median
from time import perf_counter, sleep
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from benchmarks.subjects import open_orm
from benchmarks.subjects.models import change, new_product
from benchmarks.workload import Case, Metric, NotPossible, Sample, Workload

EVENTS_A_ROW = 10


class PastKey(Workload):
    """Products with ten events each, read as they were after the fifth."""

    name = "past_key"
    title = "Time travel by key"
    about = (
        f"Products with {EVENTS_A_ROW} events each; `select(Product).where(Product.id == key)` for keys drawn by "
        "chance, in one session, at the moment after half of the events. Plain reads the live row. A round is the "
        "median."
    )
    metrics = (Metric(name="milliseconds", unit="ms"),)
    subjects = ("plain", "ours", "continuum")
    baseline = "plain"
    cases = (
        Case(label="10 events a row", params={"rows": 300, "reads": 400}, rounds=7),
        Case(
            label="10 events a row, 20,000 rows",
            params={"rows": 20_000, "reads": 400},
            full_only=True,
            subjects=("plain", "ours"),
        ),
    )

    def prepare(self) -> None:
        """Write the history, and remember the moment in its middle."""
        self._orm = open_orm(self.place)
        if self._orm.past is None:
            raise NotPossible(f"{self.place.subject} has no such query")
        kind = self._orm.product
        rows = [new_product(kind, number) for number in range(self.case.number("rows"))]
        self._keys = [row.id for row in rows]
        self._prices = {row.id: row.price for row in rows}
        self._in_session(lambda session: session.add_all(rows))
        for number in range(1, EVENTS_A_ROW):
            self._in_session(_change_all(kind))
            if number == EVENTS_A_ROW // 2:
                self._moment = self._now()
        with self._orm.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
        self._random = random.Random(1)  # noqa: S311 - the same draws for everyone

    def _in_session(self, do: Callable[[Session], object]) -> None:
        with Session(self._orm.engine) as session:
            do(session)
            session.commit()

    def _now(self) -> datetime:
        sleep(0.05)  # some give times in whole milliseconds
        with self._orm.engine.connect() as connection:
            moment: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
        sleep(0.05)
        return moment

    def round(self) -> Sample:
        """Read so many rows, and take the median."""
        if self._orm.past is None:
            raise NotPossible(f"{self.place.subject} has no such query")
        times = []
        with Session(self._orm.engine) as session, self._orm.past(session, self._moment) as read:
            for key in self._random.choices(self._keys, k=self.case.number("reads")):
                start = perf_counter()
                found = read(key)
                times.append((perf_counter() - start) * 1_000)
                self._compare(found)
        return {"milliseconds": median(times)}

    def _compare(self, found: Any) -> None:
        changes = EVENTS_A_ROW - 1 if self.place.subject == "plain" else EVENTS_A_ROW // 2
        expected = self._prices[found.id] + changes * Decimal("0.01")
        if found.price != expected:
            raise AssertionError(f"price {found.price} in place of {expected}")

    def close(self) -> None:
        """Close the connections."""
        self._orm.engine.dispose()


def _change_all(kind: type[Any]) -> Callable[[Session], None]:
    def change_all(session: Session) -> None:
        for row in session.scalars(select(kind)):
            change(row)

    return change_all


WORKLOAD = PastKey
