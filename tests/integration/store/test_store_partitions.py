"""Leaves of the log: made ahead, and no write ever fails for lack of one."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

import pytest

from lithair_sqla.errors import SchemaError
from lithair_sqla.options import StorageConfig
from lithair_sqla.schema.create import create_all
from lithair_sqla.store import EventStore
from lithair_sqla.types import NewEvent, StreamAppend, StreamId

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

pytestmark = pytest.mark.usefixtures("sound")

TINY = StorageConfig(partition_width=1_000, partitions_ahead=1)


@pytest.fixture
def template() -> None:
    """These tests make the library's objects themselves."""


@pytest.fixture
def library(engine: Engine) -> Engine:
    """A database whose log has the smallest partitions there are, one of them ahead."""
    create_all(engine, config=TINY)
    return engine


def store_on(connection: Connection) -> EventStore:
    return EventStore(connection, config=TINY)


def leaves(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(
            connection.exec_driver_sql(
                "SELECT count(*) FROM pg_inherits WHERE inhparent = 'lithair_events'::regclass"
            ).scalar_one()
        )


def reader_on(connection: Connection) -> Any:
    """A cursor that is open in the server, so that the log is in use."""
    driver: Any = connection.connection.driver_connection
    return driver.cursor("reader")


def events(count: int) -> list[NewEvent]:
    return [NewEvent("Read", {"n": number}) for number in range(count)]


def test_leaves_are_there_ahead_of_the_positions(library: Engine) -> None:
    assert leaves(library) == 2
    with library.connect() as connection:
        for step in range(1, 20):
            store_on(connection).append(("Meter", "1"), events(250))
            connection.commit()
            assert leaves(library) >= step * 250 // 1_000 + 2


@pytest.mark.parametrize("width", [1_001, 20_000_000])
def test_a_log_keeps_the_width_it_was_begun_with(library: Engine, width: int) -> None:
    with pytest.raises(SchemaError, match=r"partition lithair_events_p000000 holds .*Set StorageConfig"):
        create_all(library, config=TINY.replace(partition_width=width))
    with library.begin() as connection:
        store_on(connection).append(("Meter", "1"), events(3_000))


@pytest.mark.parametrize("size", [1_000, 2_500, 12_345])
def test_one_append_larger_than_all_leaves_that_are_there(library: Engine, size: int) -> None:
    with library.begin() as connection:
        store = store_on(connection)
        store.append(("Meter", "1"), events(size))
        store.append_many([StreamAppend(StreamId("Meter", "2"), events(size))])
        store.append(("Meter", "3"), events(1))
    with library.connect() as connection:
        assert sum(1 for _ in store_on(connection).iter_all(page=5_000)) == 2 * size + 1


def test_a_rolled_back_transaction_takes_its_leaves_with_it_and_the_next_makes_them(library: Engine) -> None:
    with library.connect() as connection:
        store_on(connection).append(("Meter", "1"), events(5_000))
        connection.rollback()
        assert leaves(library) == 2
        assert store_on(connection).append(("Meter", "1"), events(1)).positions == (5_001,)
        connection.commit()


def test_a_leaf_is_made_beside_a_reader_in_the_middle_of_the_log(library: Engine) -> None:
    with library.begin() as connection:
        store_on(connection).append(("Meter", "1"), events(900))
    with library.connect() as reading, library.connect() as writing, reader_on(reading) as cursor:
        cursor.execute("SELECT position FROM lithair_events")
        assert cursor.fetchone() is not None
        for _ in range(10):
            store_on(writing).append(("Meter", "1"), events(900))
            writing.commit()
        assert len(cursor.fetchall()) == 899


def test_a_leaf_is_made_while_the_same_session_reads_the_log(library: Engine) -> None:
    """Its own open cursor makes ATTACH fail (55006): what stands ahead carries the writes, and a later one makes it."""
    with library.connect() as connection:
        store = store_on(connection)
        store.append(("Meter", "1"), events(900))
        with reader_on(connection) as cursor:
            cursor.execute("SELECT position FROM lithair_events")
            assert cursor.fetchone() is not None
            store.append(("Meter", "1"), events(900))
        store.append(("Meter", "1"), events(900))
        connection.commit()
    assert leaves(library) >= 4


def test_a_writer_waits_for_the_leaf_that_another_makes(library: Engine, processes: Any) -> None:
    with library.connect() as slow:
        store_on(slow).append(("Meter", "slow"), events(1_990))
        assert store_on(slow).append(("Meter", "slow"), events(20)).positions[-1] == 2_010
        running = processes.start(_append_one)
        time.sleep(0.5)
        assert running.process.is_alive()
        slow.commit()
        assert running.result() > 2_010


def test_a_writer_makes_the_leaf_itself_when_the_other_rolls_back(library: Engine, processes: Any) -> None:
    with library.connect() as slow:
        store_on(slow).append(("Meter", "slow"), events(2_010))
        running = processes.start(_append_one)
        time.sleep(0.5)
        slow.rollback()
        assert running.result() > 2_010
    assert leaves(library) >= 3


def _append_one(engine: Engine) -> int:
    with engine.begin() as connection:
        return store_on(connection).append(("Meter", "other"), events(1)).positions[0]


def _write(engine: Engine, number: int) -> int:
    written = 0
    with engine.connect() as connection:
        store = store_on(connection)
        for step in range(30):
            size = random.choice((1, 1, 5, 50, 400))
            store.append((f"Meter{number}", str(step)), events(size))
            if random.random() < 0.3:
                time.sleep(random.random() * 0.02)
            if random.random() < 0.2:
                connection.rollback()
            else:
                connection.commit()
                written += size
    return written


def test_no_write_fails_while_many_cross_from_leaf_to_leaf(library: Engine, processes: Any) -> None:
    written = processes.run(8, _write)
    with library.connect() as connection:
        assert sum(1 for _ in store_on(connection).iter_all(page=5_000)) == sum(written)
    assert leaves(library) > 10


def test_reading_a_stream_looks_into_the_leaves_that_can_hold_it(library: Engine) -> None:
    with library.begin() as connection:
        store_on(connection).append(("Meter", "1"), events(9_000))
    with library.begin() as connection:
        store_on(connection).append(("Late", "1"), events(10))
    with library.connect() as connection:
        store = store_on(connection)
        number, low, version = store._channel.row(store._channel.statements.stream_id, (0, "Late", "1"))
        assert (low, version) == (9_000, 10)
        plan = connection.exec_driver_sql(
            f"EXPLAIN {store._channel.statements.forwards}", (number, low, 1, 10, None)
        ).scalars()
        assert {word for line in plan for word in line.split() if word.startswith("lithair_events_p0000")} & {
            f"lithair_events_p{leaf:06d}" for leaf in range(9)
        } == set()
