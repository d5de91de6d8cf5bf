"""Order under adversarial writers: a reader that follows the horizon misses nothing, and a naive one does.

Writers in processes of their own append one event or hundreds, to one stream or many, by call and by COPY, at every
isolation level, sleep before they commit, roll back whole transactions and savepoints, and draw positions before,
inside and after these. A reader tails the log meanwhile. Beside it a control remembers the last position that it saw
and asks for what is greater: that it misses events shows that the test could fail.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.exc import OperationalError

from lithair_sqla.store import EventStore
from lithair_sqla.types import NewEvent, StreamAppend, StreamId

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event as Signal

    from sqlalchemy import Connection, Engine

pytestmark = pytest.mark.usefixtures("sound")

LEVELS = ("READ COMMITTED",) * 4 + ("REPEATABLE READ", "SERIALIZABLE", "AUTOCOMMIT")


@dataclass
class Writer:
    """One writer: streams of its own, so that the only waiting is what the store itself brings."""

    connection: Connection
    number: int
    committed: list[int] = field(default_factory=list)
    _pending: list[int] = field(default_factory=list)

    def write(self) -> None:
        """One transaction, of some kind or other."""
        level = random.choice(LEVELS)
        self.connection.execution_options(isolation_level=level)
        self._pending = []
        steps = random.choice((1, 1, 1, 2, 3))
        for _ in range(steps):
            random.choice((self.append, self.append, self.append_streams, self.append_many, self.append_in_savepoint))(
                level == "AUTOCOMMIT"
            )
            self.sleep(0.2)
        self.sleep(0.5)
        if level == "AUTOCOMMIT" or random.random() < 0.85:
            self.connection.commit()
            self.committed += self._pending
        else:
            self.connection.rollback()

    def sleep(self, probability: float) -> None:
        if random.random() < probability:
            time.sleep(random.random() * 0.02)

    def events(self) -> list[NewEvent]:
        size = random.choice((1, 1, 1, 2, 5, 20, 50, 100, 200))
        return [NewEvent("Written", {"by": self.number, "n": n}) for n in range(size)]

    def stream(self) -> StreamId:
        return StreamId("Stream", f"{self.number}-{random.randint(0, 20)}")

    def append(self, _autocommit: bool) -> None:  # noqa: FBT001
        self._pending += EventStore(self.connection).append(self.stream(), self.events()).positions

    def append_streams(self, _autocommit: bool) -> None:  # noqa: FBT001
        streams = {self.stream() for _ in range(random.randint(1, 5))}
        appends = [StreamAppend(stream, self.events()) for stream in streams]
        self._pending += EventStore(self.connection).append_streams(appends).positions

    def append_many(self, autocommit: bool) -> None:  # noqa: FBT001
        if autocommit:
            return
        store = EventStore(self.connection)
        before = store.stream(("Bulk", str(self.number)))
        store.append_many(
            [StreamAppend(StreamId("Bulk", str(self.number)), self.events()) for _ in range(3)], batch_size=90
        )
        written = store.read_stream(("Bulk", str(self.number)), from_version=before.version + 1 if before else 1)
        self._pending += [event.position for event in written]

    def append_in_savepoint(self, autocommit: bool) -> None:  # noqa: FBT001
        if autocommit:
            return
        pending = list(self._pending)
        savepoint = self.connection.begin_nested()
        self.append(autocommit)
        if random.random() < 0.5:
            inner = self.connection.begin_nested()
            self.append(autocommit)
            self.sleep(0.3)
            inner.commit()
        if random.random() < 0.5:
            savepoint.commit()
        else:
            savepoint.rollback()
            self._pending = pending


def _write(engine: Engine, number: int, events: int) -> list[int]:
    with engine.connect() as connection:
        writer = Writer(connection, number)
        while len(writer.committed) < events:
            try:
                writer.write()
            except OperationalError as error:  # at SERIALIZABLE, PostgreSQL may refuse: one rollback more
                if getattr(error.orig, "sqlstate", "") != "40001":
                    raise
                connection.rollback()
    return writer.committed


def _follow(engine: Engine, done: Signal) -> list[tuple[int, str, int]]:
    """Tail the log by the horizon until the writers are done and nothing more comes."""
    read: list[tuple[int, str, int]] = []
    with engine.connect() as connection:
        store = EventStore(connection)
        while True:
            is_last = done.is_set()
            events = store.read_all(after=read[-1][0] if read else 0, limit=random.choice((1, 100, 1_000, 5_000)))
            read += [(event.position, str(event.stream), event.version) for event in events]
            if random.random() < 0.5:
                connection.rollback()
            if is_last and not events:
                return read


def _follow_naively(engine: Engine, done: Signal) -> list[int]:
    """Tail the log as one would without thinking: what stands above the last position seen."""
    read: list[int] = []
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while True:
            is_last = done.is_set()
            after = read[-1] if read else 0
            found = connection.exec_driver_sql(
                f"SELECT position FROM lithair_events WHERE position > {after} ORDER BY position LIMIT 5000"
            ).scalars()
            new = list(found)
            read += new
            if is_last and not new:
                return read


def _prove(library: Engine, processes: Any, *, writers: int, events: int) -> None:
    done = processes.event()
    reader = processes.start(_follow, done)
    naive = processes.start(_follow_naively, done)
    running = [processes.start(_write, number, events // writers + 1) for number in range(writers)]
    committed = {position for each in running for position in each.result(600)}
    done.set()
    read = reader.result(120)
    positions = [position for position, _, _ in read]

    assert len(committed) >= events
    assert set(positions) == committed, "an event was missed, or one was read that was never committed"
    assert positions == sorted(set(positions)), "an event came twice, or out of order"
    versions: dict[str, int] = {}
    for _, stream, version in read:
        assert version == versions.get(stream, 0) + 1, f"{stream} came out of order"
        versions[stream] = version
    with library.connect() as connection:
        assert EventStore(connection).horizon() >= positions[-1]

    missed = committed - set(naive.result(120))
    assert missed, "the control missed nothing either: these writers prove nothing"


@pytest.mark.slow
@pytest.mark.parametrize("writers", [8, 24])
def test_a_tailing_reader_misses_nothing_of_what_adversarial_writers_commit(
    library: Engine, processes: Any, writers: int
) -> None:
    _prove(library, processes, writers=writers, events=55_000)


@pytest.mark.soak
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("writers", [8, 24])
def test_nor_in_the_long_run(library: Engine, processes: Any, writers: int) -> None:
    _prove(library, processes, writers=writers, events=1_000_000)
