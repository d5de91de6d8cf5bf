"""Who and why reaches the events of every kind of session, and of none; and nothing of it stays behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, ForeignKey, create_engine, delete, insert, literal, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker, create_async_engine
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    aliased,
    mapped_column,
    relationship,
    scoped_session,
    sessionmaker,
)

from lithair_sqla import EventSourced, Persistence, context, create_all, record
from lithair_sqla.errors import GuardError, WriteRefusedError

if TYPE_CHECKING:
    from sqlalchemy import URL


class Base(DeclarativeBase):
    pass


class Owner(Base):
    """Not event-sourced, but its rows' deletes reach those that are."""

    __tablename__ = "owner"
    id: Mapped[int] = mapped_column(primary_key=True)
    items: Mapped[list[Item]] = relationship(passive_deletes=True)
    loose: Mapped[list[Loose]] = relationship()


class Item(EventSourced, Base):
    __tablename__ = "item"
    id: Mapped[int] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(default=0)
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("owner.id", ondelete="CASCADE"))


class Loose(EventSourced, Base):
    __tablename__ = "loose"
    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("owner.id"))


class Strict(EventSourced, Base):
    __tablename__ = "strict"
    __persistence__ = Persistence(foreign_writes="refuse")
    id: Mapped[int] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(default=0)


class Plain(Base):
    __tablename__ = "plain"
    id: Mapped[int] = mapped_column(primary_key=True)


REQUEST = uuid4()


def actors(log: Any, stream: str = "Item", key: object = None) -> list[str]:
    return [found.actor for found in log(stream, None if key is None else str(key))]


@pytest.fixture
def item(session: Session) -> Item:
    """An item that is committed, without a context."""
    made = Item()
    session.add(made)
    session.commit()
    return made


def test_everything_that_is_said_stands_in_the_events(session: Session, item: Item, log: Any) -> None:
    with context(user_id=42, correlation_id=REQUEST, causation_id=REQUEST, meta={"ip": "::1"}):
        item.n = 1
        session.commit()

    created, updated = log("Item", str(item.id))
    assert (created.actor, created.correlation_id, created.causation_id, created.meta) == ("postgres", None, None, None)
    assert (updated.actor, updated.correlation_id, updated.causation_id) == ("42", REQUEST, REQUEST)
    assert updated.meta == {"ip": "::1"}


def test_the_applications_name_and_role_stand_beside_it(engine: Engine, log: Any, role: Callable[..., Engine]) -> None:
    other = create_engine(engine.url, connect_args={"application_name": "shop"})
    with Session(other) as session, context(meta={"page": 1}):
        item = Item()
        session.add(item)
        session.commit()
        key = item.id
    other.dispose()

    assert log("Item", str(key))[0].meta == {"application": "shop", "page": 1}


def test_it_counts_where_a_write_is_flushed(session: Session, item: Item, log: Any) -> None:
    with context(user_id="ana"):
        item.n = 1
    session.commit()
    item.n = 2
    with context(user_id="ben"):
        session.commit()

    assert actors(log, key=item.id) == ["postgres", "postgres", "ben"]


def test_it_changes_within_a_transaction(session: Session, item: Item, log: Any) -> None:
    for user in ("ana", "ben", None):
        with context(user_id=user):
            item.n += 1
            session.flush()
    session.commit()

    assert actors(log, key=item.id) == ["postgres", "ana", "ben", "postgres"]


def test_nothing_of_it_stays_for_the_next_user_of_a_connection(engine: Engine, item: Item, log: Any) -> None:
    with Session(engine) as session, context(user_id="ana"):
        session.get_one(Item, item.id).n = 1
        session.commit()
    with engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE item SET n = 2 WHERE id = {item.id}")

    assert actors(log, key=item.id) == ["postgres", "ana", "postgres"]


def test_a_rolled_back_savepoint_does_not_take_it_away(session: Session, item: Item, log: Any) -> None:
    with context(user_id="ana"):
        savepoint = session.begin_nested()
        item.n = 1
        session.flush()
        savepoint.rollback()
        item.n = 2
        session.commit()

    assert actors(log, key=item.id) == ["postgres", "ana"]


def test_nor_does_one_that_was_set_by_hand(session: Session, item: Item, log: Any) -> None:
    with context(user_id="ana"):
        session.execute(text("SAVEPOINT mine"))
        session.execute(update(Item).where(Item.id == item.id).values(n=1))
        session.execute(text("/* back */ ROLLBACK TO SAVEPOINT mine"))
        session.execute(update(Item).where(Item.id == item.id).values(n=2))
        session.commit()

    assert actors(log, key=item.id) == ["postgres", "ana"]


def test_one_that_is_left_inside_a_savepoint_is_gone_after_it(session: Session, item: Item, log: Any) -> None:
    savepoint = session.begin_nested()
    with context(user_id="ana"):
        item.n = 1
        session.flush()
    savepoint.rollback()
    item.n = 2
    session.commit()

    assert actors(log, key=item.id) == ["postgres", "postgres"]


def test_every_kind_of_session(engine: Engine, log: Any) -> None:
    class Mine(Session):
        pass

    makers: list[Any] = [
        sessionmaker(engine),
        sessionmaker(engine, class_=Mine),
        sessionmaker(engine, autoflush=False, expire_on_commit=False),
        sessionmaker(engine, twophase=True),
        scoped_session(sessionmaker(engine)),
        sessionmaker(binds={Base: engine}),
        sessionmaker(binds={Item.__table__: engine}),
    ]
    keys = []
    for number, make in enumerate(makers):
        session = make()
        with context(user_id=number):
            item = Item()
            session.add(item)
            session.commit()
            keys.append(item.id)
        session.close()

    assert [actors(log, key=key) for key in keys] == [[str(number)] for number in range(len(makers))]


def test_async_sessions(database_url: URL, log: Any) -> None:
    async def use() -> list[int]:
        engine = create_async_engine(database_url)
        make = async_sessionmaker(engine)
        scoped = async_scoped_session(make, scopefunc=asyncio.current_task)
        keys = []

        async def write(user: str, opened: Any) -> None:
            with context(user_id=user):
                item = Item()
                opened.add(item)
                await opened.flush()
                keys.append((item.id, user))
                await opened.execute(update(Item).where(Item.id == item.id).values(n=1))
                await opened.commit()

        async with make() as first, make() as second, AsyncSession(engine) as third:
            await asyncio.gather(write("ana", first), write("ben", second), write("cid", third))
        await write("dora", scoped)
        await scoped.remove()
        async with engine.begin() as connection:
            with context(user_id="eve"):
                await connection.execute(update(Item).where(Item.id == keys[0][0]).values(n=2))
        await engine.dispose()
        assert actors(log, key=keys[0][0])[2] == "eve"
        return [keys_ == [user, user] for key, user in keys for keys_ in [actors(log, key=key)[:2]]]

    assert asyncio.run(use()) == [True] * 4


STATEMENTS: dict[str, Callable[[Session], Any]] = {
    "orm insert": lambda session: session.execute(insert(Item), [{"n": 1}, {"n": 2}]),
    "orm insert returning": lambda session: session.scalars(insert(Item).returning(Item), [{"n": 1}]).all(),
    "orm update": lambda session: session.execute(update(Item).values(n=Item.n + 1)),
    "orm bulk update by key": lambda session: session.execute(
        update(Item), [{"id": session.scalar(select(Item.id).limit(1)), "n": 99}]
    ),
    "orm delete": lambda session: session.execute(delete(Item)),
    "upsert": lambda session: session.execute(
        upsert(Item).values(id=1, n=5).on_conflict_do_update(index_elements=["id"], set_={"n": 6})
    ),
    "insert from select": lambda session: session.execute(insert(Item).from_select(["n"], select(literal(7)))),
    "core": lambda session: session.execute(Item.__table__.update().values(n=11)),  # type: ignore[attr-defined]
    "aliased": lambda session: session.execute(delete(aliased(Item)).where(text("true"))),
    "dml in a cte": lambda session: session.scalars(
        select(insert(Item).values(n=1).returning(Item.id).cte("made").c.id)
    ).all(),
    "dml beside a select": lambda session: session.execute(
        select(literal(1)).add_cte(insert(Item).values(n=1).cte("made"))
    ),
    "dml beside another table's dml": lambda session: session.execute(
        insert(Plain).values().add_cte(insert(Item).values(n=1).cte("made"))
    ),
    "text": lambda session: session.execute(text("UPDATE item SET n = n + 1")),
    "text with a comment": lambda session: session.execute(text("-- why\n /* what */ INSERT INTO item (n) VALUES (1)")),
    "text with a cte": lambda session: session.execute(
        text("WITH made AS (INSERT INTO item (n) VALUES (1) RETURNING id) SELECT id FROM made")
    ),
    "text merge": lambda session: session.execute(
        text("DO $$ BEGIN INSERT INTO item (n) VALUES (1); UPDATE item SET n = n + 1; END $$")
    ),
    "bulk_save_objects": lambda session: session.bulk_save_objects([Item(n=1)]),
    "bulk_insert_mappings": lambda session: session.bulk_insert_mappings(Item, [{"n": 1}]),
    "bulk_update_mappings": lambda session: session.bulk_update_mappings(
        Item,
        [{"id": session.scalar(select(Item.id).limit(1)), "n": 77}],
    ),
    "the connection": lambda session: session.connection().execute(update(Item).values(n=33)),
}


@pytest.mark.parametrize("way", STATEMENTS)
def test_every_way_of_writing_through_a_session(engine: Engine, log: Any, way: str) -> None:
    with Session(engine) as session:
        session.execute(delete(Item))
        session.add(Item(id=1))
        session.commit()
    before = len(log("Item"))

    with Session(engine) as session, context(user_id="ana"):
        STATEMENTS[way](session)
        session.commit()

    assert set(actors(log)[before:]) == {"ana"}


def test_a_connection_without_a_session(engine: Engine, item: Item, log: Any) -> None:
    with engine.begin() as connection, context(user_id="ana"):
        connection.execute(update(Item).where(Item.id == item.id).values(n=1))

    assert actors(log, key=item.id) == ["postgres", "ana"]


def test_what_a_table_of_another_kind_drags_along(session: Session, log: Any) -> None:
    first, second, third = (Owner(items=[Item()], loose=[Loose()]) for _ in range(3))
    session.add_all([first, second, third])
    session.commit()
    keys = [(owner.items[0].id, owner.loose[0].id) for owner in (first, second, third)]
    session.execute(delete(Loose).where(Loose.owner_id == second.id))
    session.commit()

    with context(user_id="ana"):
        session.delete(first)
        session.commit()
        session.execute(delete(Owner).where(Owner.id == second.id))
        session.commit()
        third.loose.clear()
        session.commit()

    assert actors(log, "Item", keys[0][0])[-1] == "ana"
    assert actors(log, "Loose", keys[0][1])[-1] == "ana"
    assert actors(log, "Item", keys[1][0])[-1] == "ana"
    assert actors(log, "Loose", keys[2][1])[-1] == "ana"


def test_two_sessions_side_by_side_keep_theirs(engine: Engine, log: Any) -> None:
    with Session(engine) as first, Session(engine) as second:
        one, two = Item(), Item()
        first.add(one)
        second.add(two)
        with context(user_id="ana"):
            first.flush()
        with context(user_id="ben"):
            second.flush()
        with context(user_id="ana"):
            one.n = 1
            first.commit()
        with context(user_id="ben"):
            two.n = 1
            second.commit()
        keys = one.id, two.id

    assert [actors(log, key=key) for key in keys] == [["ana"] * 2, ["ben"] * 2]


def test_in_autocommit_it_is_the_sessions_and_taken_back(engine: Engine, log: Any) -> None:
    with Session(engine.execution_options(isolation_level="AUTOCOMMIT")) as session:
        item = Item()
        session.add(item)
        session.commit()
        key = item.id
        with context(user_id="ana"):
            session.execute(update(Item).where(Item.id == key).values(n=1))
            session.execute(text("UPDATE item SET n = 2 WHERE id = :key"), {"key": key})
            record(item, "Noted")
            session.commit()
        session.execute(update(Item).where(Item.id == key).values(n=3))
        with context(user_id="ben"):
            session.execute(update(Item).where(Item.id == key).values(n=4))
    for _ in range(engine.pool.size()):  # type: ignore[attr-defined]
        with engine.begin() as connection:
            connection.exec_driver_sql(f"UPDATE item SET n = n + 1 WHERE id = {key}")

    assert actors(log, key=key) == ["postgres", "ana", "ana", "ana", "postgres", "ben"] + ["postgres"] * 5


def test_a_table_that_refuses_foreign_writes_takes_those_of_sessions(
    engine: Engine, session: Session, run: Callable[..., Any]
) -> None:
    strict = Strict()
    session.add(strict)
    session.commit()
    strict.n = 1
    session.commit()
    session.execute(update(Strict).values(n=2))
    session.commit()
    session.execute(text("UPDATE strict SET n = 3"))
    session.commit()
    session.bulk_save_objects([Strict()])
    session.commit()
    savepoint = session.begin_nested()
    strict.n = 4
    session.flush()
    savepoint.rollback()
    strict.n = 5
    session.commit()
    with engine.begin() as connection:
        connection.execute(update(Strict).values(n=6))

    with engine.connect() as connection, pytest.raises(WriteRefusedError, match=r"UPDATE of public\.strict refused"):
        connection.exec_driver_sql("UPDATE strict SET n = 7")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(update(Strict).values(n=8))


def test_a_missing_guard_is_an_error_by_every_way(engine: Engine, run: Callable[..., Any]) -> None:
    class Other(DeclarativeBase):
        pass

    class Late(EventSourced, Other):
        __tablename__ = "late"
        id: Mapped[int] = mapped_column(primary_key=True)

    run("CREATE TABLE late (id serial PRIMARY KEY)")
    with Session(engine) as session:

        def flush() -> None:
            session.add(Late(id=1))
            session.flush()

        for write in (
            flush,
            lambda: session.execute(insert(Late).values(id=1)),
            lambda: session.bulk_save_objects([Late(id=1)]),
            lambda: session.connection().execute(insert(Late).values(id=1)),
        ):
            with pytest.raises(GuardError, match="the guard of table late is missing"):
                write()
            session.rollback()

    create_all(engine, Other)
    with Session(engine) as session:
        session.add(Late(id=1))
        session.commit()


def test_what_is_sent(
    engine: Engine, session: Session, item: Item, count_statements: Callable[..., AbstractContextManager[Any]]
) -> None:
    """Nothing without a context, one small statement a transaction with one, nothing for what cannot be reached."""
    session.refresh(item)
    with count_statements(engine) as counted:
        item.n = 10
        session.commit()
        session.add(Plain())
        session.commit()
    assert len(counted) == 2, counted

    session.refresh(item)
    with context(user_id="ana"), count_statements(engine) as counted:
        item.n = 11
        session.flush()
        item.n = 12
        session.execute(update(Item).where(Item.id == item.id).values(n=13))
        session.commit()
    assert len(counted) == 4, counted
    assert sum("lithair.context" in statement for statement in counted.statements) == 1

    with context(user_id="ana"), count_statements(engine) as counted:
        session.add(Plain())
        session.commit()
        session.scalars(select(Item)).all()
        session.execute(text("SELECT 1"))
        session.execute(text("SHOW TimeZone"))
        session.commit()
    assert len(counted) == 4, counted


def test_the_first_statement_of_a_transaction_may_set_its_level(engine: Engine, session: Session, item: Item) -> None:
    with context(user_id="ana"):
        session.execute(text("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"))
        item.n = 1
        session.commit()


def test_a_failed_transaction_can_be_repeated_with_its_context(session: Session, item: Item, log: Any) -> None:
    with context(user_id="ana"):
        item.n = 1
        session.add(Item(id=item.id + 1_000_000))
        session.flush()
        with pytest.raises(Exception, match="division by zero"):
            session.execute(text("SELECT 1 / 0"))
        session.rollback()
        item.n = 2
        session.commit()

    assert actors(log, key=item.id) == ["postgres", "ana"]
