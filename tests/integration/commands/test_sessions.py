"""Calls, notes and expectations follow the transactions of their session: savepoints, rollbacks, several binds."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, create_engine, select, text, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from lithair_sqla import ConcurrencyError, EventSourced, create_all, emits, expect, record
from lithair_sqla.errors import CommandError
from lithair_sqla.model import pending


class Base(DeclarativeBase):
    pass


class Item(EventSourced, Base):
    __tablename__ = "item"
    id: Mapped[int] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(default=0)
    text: Mapped[str | None]

    @emits("ItemBumped")
    def bump(self, by: int) -> None:
        self.n += by

    @emits("ItemSeen")
    def see(self) -> None:
        pass


@pytest.fixture
def item(session: Session) -> Item:
    """An item that is committed."""
    made = Item(n=0)
    session.add(made)
    session.commit()
    return made


def types(log: Any, item: Item) -> list[str]:
    found: list[str] = log.types("Item", str(item.id))[1:]
    return found


def version(log: Any, item: Item) -> int:
    return len(log("Item", str(item.id)))


def test_a_rolled_back_savepoint_takes_its_calls_and_notes_along(session: Session, item: Item, log: Any) -> None:
    item.bump(1)
    savepoint = session.begin_nested()
    item.bump(10)
    item.see()
    record(item, "Noted")
    savepoint.rollback()
    item.bump(100)
    session.commit()

    assert [(found.type, found.data) for found in log("Item", str(item.id))][1:] == [
        ("ItemBumped", {"n": 1}),
        ("ItemBumped", {"n": 101}),
    ]


def test_a_savepoint_that_is_rolled_back_after_a_flush_leaves_no_event(session: Session, item: Item, log: Any) -> None:
    savepoint = session.begin_nested()
    item.bump(10)
    session.flush()
    savepoint.rollback()
    item.bump(1)
    session.commit()

    assert [(found.type, found.data) for found in log("Item", str(item.id))][1:] == [("ItemBumped", {"n": 1})]


def test_a_released_savepoint_hands_its_calls_to_the_transaction(session: Session, item: Item, log: Any) -> None:
    with session.begin_nested():
        item.bump(10)
        item.see()
        record(item, "Noted")
    session.commit()

    assert types(log, item) == ["ItemBumped", "ItemSeen", "Noted"]


def test_a_call_is_named_inside_nested_savepoints(session: Session, item: Item, log: Any) -> None:
    with session.begin_nested(), session.begin_nested():
        item.bump(1)
        session.flush()
        inner = session.begin_nested()
        item.bump(2)
        session.flush()
        inner.rollback()
        item.bump(4)
    session.commit()

    assert [found.data for found in log("Item", str(item.id))][1:] == [{"n": 1}, {"n": 5}]
    assert types(log, item) == ["ItemBumped"] * 2


def test_notes_from_before_a_savepoint_survive_its_rollback(session: Session, item: Item, log: Any) -> None:
    record(item, "Before")
    item.see()
    savepoint = session.begin_nested()
    record(item, "Inside")
    item.bump(1)
    session.flush()
    savepoint.rollback()
    session.commit()

    assert types(log, item) == ["Before", "ItemSeen"]


def test_notes_from_before_two_savepoints_survive_the_rollback_of_the_outer_one(
    session: Session, item: Item, log: Any
) -> None:
    record(item, "Before")
    outer = session.begin_nested()
    with session.begin_nested():
        item.bump(1)
        session.flush()
    outer.rollback()
    session.commit()

    assert types(log, item) == ["Before"]


def test_a_rollback_forgets_everything(session: Session, item: Item, log: Any) -> None:
    item.bump(1)
    record(item, "Noted")
    expect(session, item, version=99)
    session.rollback()
    item.text = "a"
    session.commit()

    assert types(log, item) == ["ItemUpdated"]


def test_closing_the_session_forgets_everything(engine: Engine, item: Item, log: Any) -> None:
    with Session(engine) as session:
        found = session.get_one(Item, item.id)
        found.bump(1)
        record(found, "Noted")
    with Session(engine) as session:
        session.get_one(Item, item.id).text = "a"
        session.commit()

    assert types(log, item) == ["ItemUpdated"]


def test_a_failed_flush_forgets_its_calls(session: Session, item: Item, log: Any) -> None:
    item.bump(1)
    session.add(Item(id=item.id))
    with pytest.warns(match="conflicts with persistent"), pytest.raises(Exception, match="duplicate key"):
        session.flush()
    session.rollback()
    item.bump(2)
    session.commit()

    assert [found.data for found in log("Item", str(item.id))][1:] == [{"n": 2}]


@pytest.mark.parametrize("attributes", [None, ["n"]])
def test_expiring_an_object_forgets_its_call(
    session: Session, item: Item, log: Any, attributes: list[str] | None
) -> None:
    item.bump(1)
    session.expire(item, attributes)
    item.text = "a"
    session.commit()

    assert types(log, item) == ["ItemUpdated"]


def test_expiring_another_attribute_forgets_nothing(session: Session, item: Item, log: Any) -> None:
    assert item.text is None
    item.bump(1)
    session.expire(item, ["text"])
    session.commit()

    assert types(log, item) == ["ItemBumped"]


def test_refreshing_an_object_forgets_its_call(session: Session, item: Item, log: Any) -> None:
    item.bump(1)
    session.refresh(item)
    item.text = "a"
    session.commit()

    assert types(log, item) == ["ItemUpdated"]


def test_overwriting_an_object_by_a_query_forgets_its_call(session: Session, item: Item, log: Any) -> None:
    item.bump(1)
    with session.no_autoflush:
        session.scalars(select(Item).execution_options(populate_existing=True)).all()
    item.text = "a"
    session.commit()

    assert types(log, item) == ["ItemUpdated"]


def test_expiring_after_the_flush_forgets_nothing(session: Session, item: Item, log: Any) -> None:
    item.bump(1)
    session.flush()
    session.expire_all()
    session.commit()

    assert types(log, item) == ["ItemBumped"]


def test_an_object_that_leaves_the_session_takes_its_event_along(session: Session, item: Item, log: Any) -> None:
    key = item.id
    item.bump(1)
    record(item, "Noted")
    session.expunge(item)
    session.commit()

    assert log.types("Item", str(key)) == ["ItemCreated"]


def test_autoflush_between_calls_names_each(session: Session, item: Item, log: Any) -> None:
    item.bump(1)
    session.scalars(select(Item)).all()
    item.bump(2)
    session.scalars(select(Item)).all()
    session.commit()

    assert [(found.type, found.data) for found in log("Item", str(item.id))][1:] == [
        ("ItemBumped", {"n": 1}),
        ("ItemBumped", {"n": 3}),
    ]


def test_calls_work_where_autoflush_is_off(engine: Engine, item: Item, log: Any) -> None:
    with Session(engine, autoflush=False) as session:
        found = session.get_one(Item, item.id)
        found.text = "a"
        found.bump(1)
        session.scalars(select(Item)).all()
        found.bump(2)
        session.commit()

    assert types(log, item) == ["ItemUpdated", "ItemBumped", "ItemBumped"]


def test_a_session_on_a_connection_of_its_callers(engine: Engine, item: Item, log: Any) -> None:
    with engine.connect() as connection:
        outer = connection.begin()
        with Session(connection, join_transaction_mode="create_savepoint") as session:
            found = session.get_one(Item, item.id)
            found.bump(1)
            session.commit()
            found.bump(2)
            session.rollback()
            found.bump(4)
            record(found, "Noted")
            session.commit()
        outer.commit()

    assert [(found.type, found.data) for found in log("Item", str(item.id))][1:] == [
        ("ItemBumped", {"n": 1}),
        ("ItemBumped", {"n": 5}),
        ("Noted", {}),
    ]


def test_two_phase_commits_name_too(engine: Engine, item: Item, log: Any) -> None:
    with Session(engine, twophase=True) as session:
        found = session.get_one(Item, item.id)
        found.bump(1)
        record(found, "Noted")
        session.commit()

    assert types(log, item) == ["ItemBumped", "Noted"]


@pytest.fixture
def second(server: Any) -> Iterator[Engine]:
    """An engine on a second database."""
    name = f"lithair_test_{uuid4().hex[:12]}"
    made = create_engine(server.create_database(name))
    yield made
    made.dispose()
    server.drop_database(name)


def test_several_binds_get_each_their_own(engine: Engine, second: Engine, log: Any) -> None:
    class Other(DeclarativeBase):
        pass

    class Thing(EventSourced, Other):
        __tablename__ = "thing"
        id: Mapped[int] = mapped_column(primary_key=True)
        n: Mapped[int] = mapped_column(default=0)

        @emits("ThingBumped")
        def bump(self) -> None:
            self.n = 1

    create_all(second, Other)
    with Session(binds={Item: engine, Thing: second}) as session:
        item, thing = Item(n=0), Thing(n=0)
        session.add_all([item, thing])
        session.commit()
        item.bump(1)
        thing.bump()
        record(item, "Noted")
        record(thing, "Noted")
        expect(session, thing, version=1)
        session.commit()
        key = item.id
        thing.bump()
        expect(session, thing, version=1)
        item.bump(1)
        with pytest.raises(ConcurrencyError):
            session.commit()
    assert log.types("Item", str(key)) == ["ItemCreated", "ItemBumped", "Noted"]
    with second.connect() as connection:
        found = connection.execute(text("SELECT type FROM lithair_events ORDER BY position")).scalars().all()
    assert found == ["ThingCreated", "ThingBumped", "Noted"]


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_every_isolation_level(engine: Engine, item: Item, log: Any, level: str) -> None:
    with Session(engine.execution_options(isolation_level=level)) as session:
        found = session.get_one(Item, item.id)
        found.text = "a"
        found.bump(1)
        record(found, "Noted")
        expect(session, found, version=2)
        session.commit()

    assert types(log, item) == ["ItemUpdated", "ItemBumped", "Noted"]


def test_in_autocommit_nothing_can_be_named_or_expected(engine: Engine, item: Item, log: Any) -> None:
    with Session(engine.execution_options(isolation_level="AUTOCOMMIT")) as session:
        found = session.get_one(Item, item.id)
        found.bump(1)
        with pytest.raises(CommandError, match=r"@emits\('ItemBumped'\) needs a transaction"):
            session.commit()
        session.rollback()
        expect(session, found, version=1)
        with pytest.raises(CommandError, match=r"expect\(\) needs a transaction"):
            session.commit()
        session.rollback()
        record(found, "Noted")
        found.text = "plain"
        session.commit()

    assert types(log, item) == ["ItemUpdated", "Noted"]


def test_a_long_transaction_holds_no_more_than_it_must(engine: Engine) -> None:
    with Session(engine) as session:
        for _ in range(3):
            session.add_all([Item() for _ in range(4_000)])
            session.flush()
            session.expunge_all()
        (buffer,) = pending.buffers_of(session)
        assert not buffer.touched
        assert buffer.touched_all
        session.rollback()


def test_nothing_is_left_of_a_transaction_that_ended(engine: Engine) -> None:
    with Session(engine) as session:
        found = Item(n=0)
        session.add(found)
        found.bump(1)
        state = weakref.ref(found._sa_instance_state)  # type: ignore[attr-defined]
        session.commit()
    del found
    gc.collect()

    assert state() is None


def test_a_bulk_update_is_not_named_by_the_call_before_it(session: Session, item: Item, log: Any) -> None:
    item.bump(1)
    session.execute(update(Item).where(Item.id == item.id).values(text="bulk"))
    item.see()
    session.commit()

    assert types(log, item) == ["ItemBumped", "ItemUpdated", "ItemSeen"]
