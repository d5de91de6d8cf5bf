"""Who writes and why reaches the events of every kind of session, and of nobody else's."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from threading import Thread
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, NullPool, create_engine, event, insert, text, update
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, scoped_session, sessionmaker

from lithair_sqla import EventSourced, context, create_all
from lithair_sqla.errors import CommandError, OptionError

if TYPE_CHECKING:
    from tests.integration.conftest import Log

Run = Callable[..., Any]
REQUEST = UUID("11111111-2222-4333-8444-555555555555")


class Base(DeclarativeBase):
    pass


class Note(EventSourced, Base):
    __tablename__ = "note"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    text: Mapped[str] = mapped_column(default="")


@pytest.fixture(autouse=True)
def _tables(engine: Engine) -> None:
    create_all(engine, Base)


def actors(log: Log) -> list[str | None]:
    """The actors of all events in order."""
    return [found.actor for found in log()]


def user(engine: Engine) -> str:
    """The database's own actor."""
    with engine.connect() as connection:
        return str(connection.exec_driver_sql("SELECT session_user").scalar_one())


def test_actor_correlation_causation_and_meta_stand_in_every_event(engine: Engine, log: Log) -> None:
    cause = uuid4()
    with (
        Session(engine) as session,
        context(user_id="ana", correlation_id=REQUEST, causation_id=cause, meta={"ip": "::1"}),
    ):
        session.add_all([Note(id=1), Note(id=2)])
        session.commit()
    for found in log():
        assert (found.actor, found.correlation_id, found.causation_id, found.meta) == (
            "ana",
            REQUEST,
            cause,
            {"ip": "::1"},
        )


def test_without_a_context_the_actor_is_the_databases_and_the_application_stands_in_meta(
    engine: Engine, log: Log
) -> None:
    with Session(engine) as session:
        session.add(Note(id=1))
        session.commit()
    named = create_engine(engine.url.update_query_dict({"application_name": "shop"}))
    with Session(named) as session, context(meta={"ip": "::1"}):
        session.add(Note(id=2))
        session.commit()
    named.dispose()
    assert actors(log) == [user(engine)] * 2
    assert [found.meta for found in log()] == [None, {"application": "shop", "ip": "::1"}]


def test_contexts_nest_and_end(engine: Engine, log: Log) -> None:
    with Session(engine) as session:
        with context(user_id="ana", meta={"a": 1}):
            with context(correlation_id=REQUEST, meta={"b": 2}):
                session.add(Note(id=1))
                session.flush()
            session.add(Note(id=2))
            session.flush()
        session.add(Note(id=3))
        session.flush()
        with context(user_id="bob"):
            session.add(Note(id=4))
            session.flush()
        session.commit()
    assert actors(log) == ["ana", "ana", user(engine), "bob"]
    assert [found.correlation_id for found in log()] == [REQUEST, None, None, None]
    assert [found.meta for found in log()] == [{"a": 1, "b": 2}, {"a": 1}, None, None]


def test_a_context_ends_with_its_transaction_though_the_connection_goes_on(engine: Engine, log: Log) -> None:
    with engine.connect() as connection, Session(connection) as session:
        with context(user_id="ana"):
            session.add(Note(id=1))
            session.commit()
        session.add(Note(id=2))
        session.commit()
        with context(user_id="bob"):
            session.add(Note(id=3))
            session.flush()
            session.rollback()
        session.add(Note(id=4))
        session.commit()
    assert actors(log) == ["ana", user(engine), user(engine)]


WRITES: dict[str, Callable[[Session], Any]] = {
    "unit of work": lambda session: session.add(Note(id=2)),
    "ORM insert": lambda session: session.execute(insert(Note), [{"id": 2}, {"id": 3}]),
    "ORM update": lambda session: session.execute(update(Note).values(text="x")),
    "Core": lambda session: session.execute(update(Note.__table__).values(text="x")),  # type: ignore[arg-type]
    "connection": lambda session: session.connection().execute(insert(Note), {"id": 2}),
    "text": lambda session: session.execute(text("UPDATE note SET text = 'x'")),
    "text in a CTE": lambda session: session.execute(
        text("WITH w AS (UPDATE note SET text = 'x' RETURNING 1) SELECT count(*) FROM w")
    ),
    "query": lambda session: session.query(Note).update({"text": "x"}),
    "query delete": lambda session: session.query(Note).delete(),
    "bulk objects": lambda session: session.bulk_save_objects([Note(id=2)]),
    "bulk mappings": lambda session: session.bulk_insert_mappings(Note, [{"id": 2}]),
    "bulk updates": lambda session: session.bulk_update_mappings(Note, [{"id": 1, "text": "x"}]),
    "merge": lambda session: session.merge(Note(id=1, text="x")),
}


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "AUTOCOMMIT"])
def test_every_write_of_a_session_has_its_context(engine: Engine, log: Log, isolation: str) -> None:
    for name, write in WRITES.items():
        with Session(engine.execution_options(isolation_level=isolation)) as session:
            session.execute(text("INSERT INTO note VALUES (1, '')"))
            session.commit()
            before = len(log())
            with context(user_id=name):
                write(session)
                session.commit()
            found = log()[before:]
            session.execute(text("DELETE FROM note"))
            session.commit()
            assert found, name
            assert {event.actor for event in found} == {name}
            assert {event.actor for event in log()[before + len(found) :]} <= {user(engine)}, f"after {name}"


def test_in_autocommit_a_context_does_not_outlive_its_block_or_its_session(engine: Engine, log: Log) -> None:
    one = create_engine(engine.url, pool_size=1, max_overflow=0, isolation_level="AUTOCOMMIT")
    with Session(one) as session:
        with context(user_id="ana"):
            session.add(Note(id=1))
            session.flush()
        session.add(Note(id=2))
        session.flush()
        with context(user_id="bob"):
            session.add(Note(id=3))
            session.flush()
    with one.connect() as connection:
        connection.exec_driver_sql("INSERT INTO note VALUES (4, '')")
    with context(user_id="eve"):
        lost = one.connect()
        lost.execute(insert(Note), {"id": 5})
    del lost
    gc.collect()
    with one.connect() as connection:
        connection.exec_driver_sql("INSERT INTO note VALUES (6, '')")
    one.dispose()
    assert actors(log) == ["ana", user(engine), "bob", user(engine), "eve", user(engine)]


def test_in_autocommit_an_idempotency_key_is_refused_and_nothing_written(engine: Engine, log: Log) -> None:
    with Session(engine.execution_options(isolation_level="AUTOCOMMIT")) as session, context(idempotency_key="k"):
        session.add(Note(id=1))
        with pytest.raises(CommandError, match="AUTOCOMMIT"):
            session.flush()
    assert log() == []


def test_a_scoped_session_and_a_sessionmaker(engine: Engine, log: Log) -> None:
    scoped: scoped_session[Session] = scoped_session(sessionmaker(engine, class_=type("Own", (Session,), {})))
    with context(user_id="ana"):
        scoped.add(Note(id=1))
        scoped.commit()
    scoped.remove()
    with sessionmaker(engine).begin() as session, context(user_id="bob"):
        session.add(Note(id=2))
        session.flush()
    assert actors(log) == ["ana", "bob"]


def test_threads_have_contexts_of_their_own(engine: Engine, log: Log) -> None:
    def write(number: int) -> None:
        with Session(engine) as session, context(user_id=number):
            session.add(Note(id=number))
            session.commit()

    with context(user_id="main"):
        threads = [Thread(target=write, args=(number,)) for number in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert {found.key: found.actor for found in log()} == {str(number): str(number) for number in range(5)}


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "AUTOCOMMIT"])
def test_tasks_of_an_async_session_have_contexts_of_their_own(engine: Engine, log: Log, isolation: str) -> None:
    other = create_async_engine(engine.url, isolation_level=isolation, pool_size=3)
    sessions = async_sessionmaker(other)

    async def write(number: int) -> None:
        async with sessions() as session:
            with context(user_id=f"task {number}"):
                session.add(Note(id=number))
                await session.flush()
                await asyncio.sleep(0)
                await session.execute(update(Note).where(Note.id == number).values(text="x"))
                await session.commit()
            session.add(Note(id=number + 100))
            await session.commit()

    async def all_of_them() -> None:
        await asyncio.gather(*map(write, range(6)))
        async with AsyncSession(other) as session:
            session.add(Note(id=1000))
            await session.commit()
        await other.dispose()

    asyncio.run(all_of_them())
    for found in log():
        number = int(found.key)
        assert found.actor == (f"task {number}" if number < 100 else user(engine))


def test_savepoints_keep_the_context_that_was_sent_before_them(engine: Engine, log: Log) -> None:
    with Session(engine) as session, context(user_id="ana"):
        session.add(Note(id=1))
        session.flush()
        with context(user_id="bob"):
            nested = session.begin_nested()
            session.add(Note(id=2))
            session.flush()
            nested.rollback()
        session.add(Note(id=3))
        session.flush()
        outer = session.begin_nested()
        with context(user_id="eve"):
            session.add(Note(id=4))
            session.begin_nested().commit()
        outer.commit()
        session.add(Note(id=5))
        session.commit()
    assert [(found.key, found.actor) for found in log()] == [("1", "ana"), ("3", "ana"), ("4", "eve"), ("5", "ana")]


def test_a_context_that_was_first_sent_inside_a_savepoint_is_sent_again_after_its_rollback(
    engine: Engine, log: Log
) -> None:
    with Session(engine) as session, context(user_id="ana"):
        nested = session.begin_nested()
        session.add(Note(id=1))
        session.flush()
        nested.rollback()
        session.add(Note(id=2))
        session.commit()
    with engine.begin() as connection, context(user_id="bob"):
        connection.exec_driver_sql("SAVEPOINT s")
        connection.execute(insert(Note), {"id": 3})
        connection.execute(text("ROLLBACK TO s"))
        connection.execute(insert(Note), {"id": 3})
    assert actors(log) == ["ana", "bob"]


def test_a_commit_of_two_phases_carries_the_context(engine: Engine, log: Log, two_phases: None) -> None:
    with Session(engine, twophase=True) as session:
        with context(user_id="ana"):
            session.add(Note(id=1))
            session.prepare()
            session.commit()
        session.add(Note(id=2))
        session.commit()
    with engine.connect() as connection:
        transaction = connection.begin_twophase("lithair_two")
        with context(user_id="bob"):
            connection.execute(insert(Note), {"id": 3})
        transaction.prepare()
        transaction.commit()
    assert actors(log) == ["ana", user(engine), "bob"]


@pytest.fixture
def other(server: Any) -> Iterator[Engine]:
    """An engine on another database."""
    name = f"lithair_test_{uuid4().hex[:12]}"
    made = create_engine(server.create_database(name), poolclass=NullPool)
    yield made
    made.dispose()
    server.drop_database(name)


def test_several_databases_in_one_session(engine: Engine, other: Engine, log: Log) -> None:
    class Second(DeclarativeBase):
        pass

    class Elsewhere(EventSourced, Second):
        __tablename__ = "elsewhere"
        id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)

    create_all(other, Second)
    with Session(binds={Base: engine, Second: other}) as session, context(user_id="ana"):
        session.add_all([Note(id=1), Elsewhere(id=1)])
        session.commit()
        session.execute(update(Note).values(text="x"))
        session.execute(insert(Elsewhere), {"id": 2})
        session.commit()
    assert actors(log) == ["ana", "ana"]
    with other.connect() as connection:
        assert connection.exec_driver_sql("SELECT actor FROM lithair_events").scalars().all() == ["ana", "ana"]


def test_what_a_listener_of_the_flush_adds_has_the_context_too(engine: Engine, log: Log) -> None:
    with Session(engine) as session, context(user_id="ana"):

        @event.listens_for(session, "before_flush")
        def _(session: Session, *_: Any) -> None:
            if not session.get(Note, 2):
                session.add(Note(id=2))

        session.add(Note(id=1))
        session.commit()
    assert actors(log) == ["ana", "ana"]


def test_a_role_that_was_taken_is_recorded_beside_the_user(engine: Engine, log: Log, role: Run) -> None:
    other = role("GRANT ALL ON note TO {role}")
    with Session(engine) as session:
        session.execute(text(f"SET LOCAL ROLE {other.url.username}"))
        session.execute(text("INSERT INTO note VALUES (1, '')"))
        session.commit()
    assert [(found.actor, found.meta) for found in log()] == [(user(engine), {"role": other.url.username})]


@pytest.mark.parametrize(
    "wrong",
    [
        {"user_id": ""},
        {"user_id": "a\0b"},
        {"user_id": "x" * 1001},
        {"correlation_id": "no uuid"},
        {"meta": {"a": object()}},
        {"meta": {"a": "\0"}},
    ],
)
def test_a_context_that_cannot_be_stored_is_refused_where_it_is_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=next(iter(wrong))), context(**wrong):
        pass
