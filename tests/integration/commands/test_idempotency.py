"""An idempotency key lets a command take effect once, whoever sends it again, and says what the first one wrote."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, insert, text, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from lithair_sqla import EventSourced, EventStore, NewEvent, context, record
from lithair_sqla.errors import CommandError, DuplicateCommand


class Base(DeclarativeBase):
    pass


class Item(EventSourced, Base):
    __tablename__ = "item"
    id: Mapped[int] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(default=0)


class Plain(Base):
    __tablename__ = "plain"
    id: Mapped[int] = mapped_column(primary_key=True)


@pytest.fixture
def item(session: Session) -> Item:
    """An item that is committed."""
    made = Item()
    session.add(made)
    session.commit()
    return made


@pytest.fixture
def key() -> str:
    """A key that no other test uses."""
    return str(uuid4())


def positions(log: Any, item: Item) -> list[int]:
    return [found.position for found in log("Item", str(item.id))]


def test_the_second_use_is_refused_and_told_the_events_of_the_first(
    session: Session, item: Item, key: str, log: Any
) -> None:
    with context(idempotency_key=key):
        item.n = 1
        session.add(Item())
        session.commit()
    written = [found.position for found in log("Item") if found.position > positions(log, item)[0]]

    with context(idempotency_key=key):
        item.n = 2
        with pytest.raises(DuplicateCommand, match="was used before; its events stand at") as raised:
            session.commit()
        session.rollback()

    assert (raised.value.key, raised.value.positions) == (key, tuple(sorted(written)))
    assert item.n == 1
    session.rollback()


def test_a_refused_flush_leaves_the_session_as_any_failed_flush(session: Session, item: Item, key: str) -> None:
    with context(idempotency_key=key):
        item.n = 1
        session.commit()
        item.n = 2
        with pytest.raises(DuplicateCommand):
            session.flush()
        assert not session.is_active
        session.rollback()
    assert item.n == 1


def test_one_command_may_flush_many_times(session: Session, item: Item, key: str, log: Any) -> None:
    with context(idempotency_key=key):
        for number in (1, 2):
            item.n = number
            session.flush()
        with session.begin_nested():
            item.n = 3
        session.commit()

    assert len(positions(log, item)) == 4


def test_the_same_key_twice_in_one_transaction_is_refused(session: Session, item: Item, key: str) -> None:
    with context(idempotency_key=key):
        item.n = 1
        session.flush()
    with context(idempotency_key=key):
        item.n = 2
        with pytest.raises(DuplicateCommand):
            session.flush()
    session.rollback()


def test_two_commands_in_one_transaction_have_each_their_events(
    session: Session, item: Item, key: str, log: Any
) -> None:
    with context(idempotency_key=key):
        item.n = 1
        session.flush()
    with context(idempotency_key=key + "b"):
        item.n = 2
        session.commit()

    with context(idempotency_key=key + "b"):
        item.n = 3
        with pytest.raises(DuplicateCommand) as raised:
            session.commit()
    session.rollback()
    assert raised.value.positions == tuple(positions(log, item)[2:])


def test_a_block_that_is_left_and_another_that_is_entered_goes_back_to_neither(
    session: Session, item: Item, key: str
) -> None:
    with context(idempotency_key=key):
        item.n = 1
        session.flush()
        with context(idempotency_key=key + "b"):
            item.n = 2
            session.flush()
        item.n = 3
        session.commit()


def test_a_rolled_back_command_may_be_repeated(session: Session, item: Item, key: str) -> None:
    with context(idempotency_key=key):
        item.n = 1
        session.flush()
        session.rollback()
        item.n = 2
        session.commit()
    with context(idempotency_key=key):
        item.n = 3
        with pytest.raises(DuplicateCommand):
            session.commit()
    session.rollback()


def test_a_savepoint_gives_its_key_back(session: Session, item: Item, key: str) -> None:
    with context(idempotency_key=key):
        savepoint = session.begin_nested()
        item.n = 1
        session.flush()
        savepoint.rollback()
    with context(idempotency_key=key):
        item.n = 2
        session.commit()


def test_a_command_goes_on_after_a_savepoint_inside_it(session: Session, item: Item, key: str, log: Any) -> None:
    with context(idempotency_key=key):
        item.n = 1
        session.flush()
        savepoint = session.begin_nested()
        item.n = 2
        session.flush()
        savepoint.rollback()
        item.n = 3
        session.commit()

    assert [found.data for found in log("Item", str(item.id))][1:] == [{"n": 1}, {"n": 3}]


def test_an_expired_key_is_free_again(session: Session, item: Item, key: str, run: Callable[..., Any]) -> None:
    with context(idempotency_key=key, idempotency_ttl=dt.timedelta(hours=1)):
        item.n = 1
        session.commit()
    ((ttl,),) = run("SELECT expires_at - created_at FROM lithair_idempotency WHERE key = :key", key=key)
    assert abs(ttl - dt.timedelta(hours=1)) < dt.timedelta(minutes=1)
    run("UPDATE lithair_idempotency SET expires_at = now() - interval '1 second' WHERE key = :key", key=key)

    with context(idempotency_key=key):
        item.n = 2
        session.commit()
    with context(idempotency_key=key):
        item.n = 3
        with pytest.raises(DuplicateCommand):
            session.commit()
    session.rollback()


def test_nothing_is_taken_by_what_writes_no_event(session: Session, key: str, run: Callable[..., Any]) -> None:
    with context(idempotency_key=key):
        session.add(Plain())
        session.commit()

    assert run("SELECT count(*) FROM lithair_idempotency WHERE key = :key", key=key) == [(0,)]


@pytest.mark.parametrize("how", ["core", "bulk", "mappings", "text", "note", "connection"])
def test_every_way_of_writing_takes_it(engine: Engine, session: Session, item: Item, key: str, how: str) -> None:
    def write() -> None:
        match how:
            case "core":
                session.execute(update(Item.__table__).values(n=5))  # type: ignore[arg-type]
            case "bulk":
                session.execute(insert(Item), [{"n": 1}, {"n": 2}])
            case "mappings":
                session.bulk_insert_mappings(Item, [{"n": 1}])
            case "text":
                session.execute(text("UPDATE item SET n = n + 1"))
            case "note":
                record(item, "Noted")
                session.commit()
            case _:
                with engine.begin() as connection:
                    connection.execute(insert(Item), [{"n": 1}])
        session.commit()

    with context(idempotency_key=key):
        write()
    with context(idempotency_key=key), pytest.raises(DuplicateCommand):
        write()
    session.rollback()


def test_a_key_of_the_store_and_a_key_of_a_command_are_the_same_keys(
    engine: Engine, session: Session, item: Item, key: str
) -> None:
    with engine.begin() as connection:
        result = EventStore(connection).append(("cart", key), [NewEvent("Opened")], idempotency_key=key)
    with context(idempotency_key=key):
        item.n = 1
        with pytest.raises(DuplicateCommand) as raised:
            session.commit()
    session.rollback()
    assert raised.value.positions == result.positions


def test_in_autocommit_a_key_is_refused(engine: Engine, key: str) -> None:
    with (
        Session(engine.execution_options(isolation_level="AUTOCOMMIT")) as session,
        context(idempotency_key=key),
        pytest.raises(CommandError, match="an idempotency key needs a transaction"),
    ):
        session.execute(insert(Item), [{"n": 1}])


OTHER = """
import sys
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from lithair_sqla import EventSourced, context
from lithair_sqla.errors import DuplicateCommand

class Base(DeclarativeBase):
    pass

class Item(EventSourced, Base):
    __tablename__ = "item"
    id: Mapped[int] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(default=0)

url, key = sys.argv[1:]
engine = create_engine(url)
with Session(engine) as session, context(idempotency_key=key):
    session.add(Item(n=7))
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        session.flush()
        print("flushed", flush=True)
        word = sys.stdin.readline().strip()
        session.commit() if word == "commit" else session.rollback()
    except DuplicateCommand as error:
        session.rollback()
        print("duplicate", len(error.positions), flush=True)
engine.dispose()
"""


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_the_second_of_two_processes_waits_for_the_first(key: str, end: str, process: Callable[..., Any]) -> None:
    first, second = process(OTHER, key), process(OTHER, key)
    assert (first.hear(), second.hear()) == ("ready", "ready")

    first.tell()
    assert first.hear() == "flushed"
    second.tell()
    first.tell(end)
    assert second.hear() == ("duplicate 1" if end == "commit" else "flushed")
    if end == "rollback":
        second.tell("commit")
    assert (first.end(), second.end()) == ("", "")
