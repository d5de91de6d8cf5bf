"""The horizon: what a reader in order asks first, idle and while writers hold their transactions open."""

from __future__ import annotations

from contextlib import ExitStack
from time import perf_counter
from uuid import uuid4

import psycopg

from benchmarks.dsn import conninfo
from benchmarks.figures import percentile
from benchmarks.subjects import open_log
from benchmarks.subjects.event_data import event_data
from benchmarks.workload import Case, Metric, NotPossible, Sample, Workload

ASKED = 500
SPARE_CONNECTIONS = 20


class Horizon(Workload):
    """``EventStore.horizon()`` on one connection, beside transactions that have appended and not yet ended."""

    name = "horizon"
    title = "Horizon"
    about = (
        f"`EventStore.horizon()`, {ASKED} times on one AUTOCOMMIT connection, while so many transactions have appended "
        "an event and are still open."
    )
    metrics = (Metric(name="p50", unit="ms"), Metric(name="p99", unit="ms"))
    subjects = ("ours",)
    cases = (
        Case(label="idle", params={"writers": 0}),
        Case(label="100 open writers", params={"writers": 100}),
        Case(label="1,000 open writers", params={"writers": 1_000}, full_only=True),
    )

    def prepare(self) -> None:
        """Make the tables, and open the writers' transactions."""
        from sqlalchemy import create_engine  # noqa: PLC0415 - only this subject's process imports it

        self._log = open_log(self.place)
        self._log.append(uuid4(), [event_data(1)], 0)
        self._engine = create_engine(self.place.url, isolation_level="AUTOCOMMIT")
        self._writers = ExitStack()
        self._open_writers(self.case.number("writers"))

    def _open_writers(self, writers: int) -> None:
        dsn = conninfo(self.place.url)
        with psycopg.connect(dsn) as connection:
            found = connection.execute("SELECT current_setting('max_connections')::int").fetchone()
        if found is None or found[0] < writers + SPARE_CONNECTIONS:
            raise NotPossible(f"the server takes too few connections (max_connections) for {writers:,} writers")
        streams = '[{"n": "Order", "k": "%s", "c": 1, "e": -2}]'
        events = '[{"s": 1, "o": 1, "k": "u", "t": "OrderChanged", "v": 1, "d": {}}]'
        for _ in range(writers):
            connection = self._writers.enter_context(psycopg.connect(dsn))
            connection.execute("SELECT lithair_append(0, %s, %s)", (streams % uuid4(), events))

    def round(self) -> Sample:
        """Ask so often."""
        from lithair_sqla import EventStore  # noqa: PLC0415 - only this subject's process imports it

        times = []
        with self._engine.connect() as connection:
            store = EventStore(connection)
            for _ in range(ASKED):
                start = perf_counter()
                store.horizon()
                times.append((perf_counter() - start) * 1_000)
        return {"p50": percentile(times, 50), "p99": percentile(times, 99)}

    def close(self) -> None:
        """End the writers' transactions."""
        self._writers.close()
        self._engine.dispose()
        self._log.close()


WORKLOAD = Horizon
