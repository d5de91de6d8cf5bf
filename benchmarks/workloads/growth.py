"""Growth: what stays as it is when the log has ten times as many events, and what does not."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from statistics import median
from time import perf_counter
from uuid import UUID, uuid4

from sqlalchemy import create_engine, select, text
from sqlalchemy.orm import Session

from benchmarks.subjects import open_log, open_orm
from benchmarks.subjects.event_data import batch, event_data
from benchmarks.subjects.filling import fill_products, tidy, update_products
from benchmarks.workload import Case, Metric, Sample, Workload

PRODUCTS = 500
WAVES = 20
"""How often every product changes while the log grows: their streams reach from its beginning to its end."""

REPEAT = 200
PAGE = 100


class Growth(Workload):
    """One log at several sizes."""

    name = "growth"
    title = "Growth of the log"
    about = (
        "A log of so many events (256 bytes, ten a stream) in as many leaves as the width makes, and "
        f"{PRODUCTS} products that changed {WAVES} times while it grew. Then, in medians of {REPEAT}: an append of one "
        "event to a new stream; a read of a short stream anywhere; a product as it was in the middle of the log, by "
        f"`as_of` and key; the horizon; {PAGE} events in order from anywhere. Ratios are to the smallest size."
    )
    metrics = (
        Metric(name="append_ms", unit="ms"),
        Metric(name="read_stream_ms", unit="ms"),
        Metric(name="as_of_ms", unit="ms"),
        Metric(name="horizon_ms", unit="ms"),
        Metric(name="read_all_ms", unit="ms"),
    )
    subjects = ("ours",)
    baseline_case = "100,000 events, 10 leaves"
    cases = (
        Case(label="100,000 events, 10 leaves", params={"events": 100_000, "leaves": 10}),
        Case(label="1,000,000 events, 50 leaves", params={"events": 1_000_000, "leaves": 50}),
        Case(label="10,000,000 events, 200 leaves", params={"events": 10_000_000, "leaves": 200}, full_only=True),
    )

    def prepare(self) -> None:
        """Fill the log in waves."""
        from benchmarks.subjects.ours import Base  # noqa: PLC0415 - likewise
        from lithair_sqla import StorageConfig  # noqa: PLC0415 - only this subject's process imports it
        from lithair_sqla.schema.tables import LibraryTables  # noqa: PLC0415 - likewise

        width = self.case.number("events") // self.case.number("leaves")
        LibraryTables.of(Base.metadata, StorageConfig(partition_width=width))
        self._orm = open_orm(self.place)
        self._log = open_log(replace(self.place, member=1))  # on the tables that open_orm has just made
        self._random = random.Random(1)  # noqa: S311 - the same draws every time
        self._streams: list[UUID] = []
        fill_products(self._orm, PRODUCTS)
        missing = self.case.number("events") - PRODUCTS * (WAVES + 1)
        for wave in range(WAVES):
            self._grow(missing // WAVES)
            with self._orm.engine.begin() as connection:
                update_products(connection)
            if wave == WAVES // 2:
                self._remember_moment()
        tidy(self._orm.engine)
        self._engine = create_engine(self.place.url, isolation_level="AUTOCOMMIT")

    def _grow(self, events: int) -> None:
        for start in range(0, events, 50_000):
            streams = batch(min(50_000, events - start), 10)
            self._log.append_many(streams)
            self._streams.extend(key for key, _ in streams[::100])

    def _remember_moment(self) -> None:
        with self._orm.engine.connect() as connection:
            self._moment = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
            self._keys = connection.execute(select(self._orm.product.id)).scalars().all()

    def round(self) -> Sample:
        """Do each thing so often, and take the medians."""
        from lithair_sqla import EventStore  # noqa: PLC0415 - only this subject's process imports it

        draw = self._random
        if self._orm.past is None:
            raise RuntimeError("ours has a past")
        with Session(self._orm.engine) as session, self._orm.past(session, self._moment) as read:
            as_of = _median(lambda: read(draw.choice(self._keys)))
        with self._engine.connect() as connection:
            store = EventStore(connection)
            last = store.horizon()
            return {
                "append_ms": _median(lambda: self._log.append(uuid4(), [event_data(1)], 0)),
                "read_stream_ms": _median(lambda: self._log.read(draw.choice(self._streams))),
                "as_of_ms": as_of,
                "horizon_ms": _median(store.horizon),
                "read_all_ms": _median(lambda: store.read_all(after=draw.randrange(last), limit=PAGE)),
            }

    def check(self) -> None:
        """The log has the size that it was measured at."""
        found = self._log.count()
        if found < self.case.number("events"):
            raise AssertionError(f"{found:,} events in place of {self.case.number('events'):,}")

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()
        self._orm.engine.dispose()
        self._log.close()


def _median(do: Callable[[], object]) -> float:
    times = []
    for _ in range(REPEAT):
        start = perf_counter()
        do()
        times.append((perf_counter() - start) * 1_000)
    return median(times)


WORKLOAD = Growth
