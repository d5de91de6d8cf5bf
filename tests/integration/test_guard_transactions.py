"""An event stands or falls with its row: savepoints, failures, isolation levels, two phases, two writers."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Connection, Engine, insert, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, StatementError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.orm.exc import StaleDataError

from lithair_sqla import EventSourced, Persistence, audit, create_all

if TYPE_CHECKING:
    from tests.integration.conftest import Log

Run = Callable[..., Any]


class Base(DeclarativeBase):
    pass


class Seat(EventSourced, Base):
    __tablename__ = "seat"
    __persistence__ = Persistence(snapshot_frequency=3)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    taken_by: Mapped[str | None] = mapped_column(unique=True)
    version: Mapped[int] = mapped_column(default=1)
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012


@pytest.fixture(autouse=True)
def _tables(engine: Engine) -> None:
    create_all(engine, Base)


def write(session: Session, number: int) -> None:
    session.execute(insert(Seat), {"id": number})


@pytest.mark.parametrize("outcomes", list(itertools.product(["keep", "drop"], repeat=3)), ids="-".join)
def test_savepoints_in_every_order_of_keeping_and_dropping(engine: Engine, log: Log, outcomes: tuple[str, ...]) -> None:
    expected = {0, 9}
    with Session(engine) as session:
        write(session, 0)
        # Nested in one another ...
        nested = [session.begin_nested()]
        write(session, 1)
        nested.append(session.begin_nested())
        write(session, 2)
        nested.append(session.begin_nested())
        write(session, 3)
        for savepoint, outcome in zip(reversed(nested), outcomes, strict=True):
            savepoint.commit() if outcome == "keep" else savepoint.rollback()
        kept = [outcome == "keep" for outcome in outcomes]
        expected |= {3} if all(kept) else set()
        expected |= {2} if kept[1] and kept[2] else set()
        expected |= {1} if kept[2] else set()
        # ... and one after the other.
        for number, outcome in enumerate(outcomes, start=4):
            savepoint = session.begin_nested()
            write(session, number)
            session.execute(update(Seat).where(Seat.id == 0).values(taken_by=str(number)))
            savepoint.commit() if outcome == "keep" else savepoint.rollback()
            expected |= {number} if outcome == "keep" else set()
        write(session, 9)
        session.commit()
    assert {int(found.key) for found in log()} == expected
    positions = [found.position for found in log()]
    assert positions == sorted(positions)
    assert {found.transaction_id for found in log()} == {min(positions)}


def test_the_first_write_of_a_transaction_in_a_savepoint_that_is_dropped(engine: Engine, log: Log) -> None:
    with Session(engine) as session:
        for number in range(3):
            savepoint = session.begin_nested()
            write(session, number)
            savepoint.rollback()
        write(session, 5)
        session.commit()
    assert [(found.key, found.transaction_id == found.position) for found in log()] == [("5", True)]


def test_a_rolled_back_transaction_leaves_nothing(engine: Engine, log: Log, run: Run) -> None:
    with Session(engine) as session:
        session.add(Seat(id=1))
        session.flush()
        session.rollback()
    assert log() == []
    assert run("SELECT count(*) FROM lithair_streams") == [(0,)]


def test_a_flush_that_fails_leaves_nothing_and_the_session_goes_on(engine: Engine, log: Log) -> None:
    with Session(engine) as session:
        session.add(Seat(id=1, taken_by="ana"))
        session.commit()
        session.add_all([Seat(id=2), Seat(id=3, taken_by="ana")])
        with pytest.raises(IntegrityError):
            session.flush()
        session.rollback()
        session.add(Seat(id=4))
        session.commit()
    assert [found.key for found in log()] == ["1", "4"]


def test_a_failed_flush_inside_a_savepoint(engine: Engine, log: Log) -> None:
    with Session(engine) as session:
        session.add(Seat(id=1, taken_by="ana"))
        session.flush()
        with pytest.raises(IntegrityError), session.begin_nested():
            session.add_all([Seat(id=2), Seat(id=3, taken_by="ana")])
        session.add(Seat(id=4))
        session.commit()
    assert [found.key for found in log()] == ["1", "4"]


def test_a_statement_that_fails_halfway_leaves_nothing(engine: Engine, log: Log, run: Run) -> None:
    with pytest.raises(DBAPIError):
        run("INSERT INTO seat SELECT i, NULL, 1 / (4 - i) FROM generate_series(1, 5) i")
    assert log() == []


def test_a_stale_version_of_sqlalchemys_own_is_still_its_own_error(engine: Engine, log: Log) -> None:
    with Session(engine) as first, Session(engine) as second:
        first.add(Seat(id=1))
        first.commit()
        mine, other = first.get_one(Seat, 1), second.get_one(Seat, 1)
        mine.taken_by, other.taken_by = "ana", "bob"
        first.commit()
        with pytest.raises(StaleDataError):
            second.commit()
    assert log.kinds() == "cu"


def test_autocommit_writes_each_event_with_its_statement(engine: Engine, log: Log) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(insert(Seat), {"id": 1})
        connection.execute(update(Seat).values(taken_by="ana"))
        with pytest.raises(IntegrityError):
            connection.execute(insert(Seat), [{"id": 2}, {"id": 1}])
    assert log.kinds(key="1") == "cu"
    assert len({found.transaction_id for found in log(key="1")}) == 2


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_higher_isolation_levels(engine: Engine, log: Log, level: str) -> None:
    with Session(engine.execution_options(isolation_level=level)) as session:
        session.add_all([Seat(id=1), Seat(id=2)])
        session.commit()
        session.get_one(Seat, 1).taken_by = "ana"
        session.flush()
        session.delete(session.get_one(Seat, 2))
        session.flush()
        session.add(Seat(id=2))
        session.commit()
        session.execute(update(Seat).values(taken_by=None))
        session.commit()
        assert audit(session, Seat)
    assert log.kinds(key="2") == "cdc"


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_serialization_failure_is_postgresqls_own_and_a_retry_succeeds(engine: Engine, log: Log, level: str) -> None:
    isolated = engine.execution_options(isolation_level=level)
    with Session(engine) as session:
        session.add(Seat(id=1))
        session.commit()
    with Session(isolated) as first, Session(isolated) as second:
        first.get_one(Seat, 1), second.get_one(Seat, 1)
        first.execute(text("UPDATE seat SET taken_by = 'ana'"))
        first.commit()
        with pytest.raises(OperationalError) as caught:
            second.execute(text("UPDATE seat SET taken_by = 'bob'"))
        assert getattr(caught.value.orig, "sqlstate", None) == "40001"
        second.rollback()
        second.execute(text("UPDATE seat SET taken_by = 'bob'"))
        second.commit()
    assert log.kinds() == "cuu"


def test_two_phases_commit_and_roll_back(engine: Engine, log: Log, two_phases: None, run: Run) -> None:
    for number, finish in ((1, "commit"), (2, "rollback")):
        with engine.connect() as connection:
            transaction = connection.begin_twophase(f"lithair_{number}")
            connection.execute(insert(Seat), {"id": number})
            transaction.prepare()
            getattr(transaction, finish)()
    with Session(engine, twophase=True) as session:
        session.add(Seat(id=3))
        session.commit()
    with engine.connect() as connection:
        transaction = connection.begin_twophase("lithair_4")
        connection.execute(insert(Seat), {"id": 4})
        transaction.prepare()
        connection.invalidate()
    assert [found.key for found in log()] == ["1", "3"]
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("COMMIT PREPARED 'lithair_4'")
    assert [found.key for found in log()] == ["1", "3", "4"]


def test_two_sessions_that_write_one_row_have_their_events_in_the_order_of_their_locks(
    engine: Engine, log: Log
) -> None:
    with Session(engine) as session:
        session.add(Seat(id=1))
        session.commit()

    def raise_version() -> None:
        with engine.connect() as connection:
            for _ in range(20):
                connection.execute(text("UPDATE seat SET version = version + 1"))
                connection.commit()

    threads = [threading.Thread(target=raise_version) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = log()
    assert [event.version for event in found] == list(range(1, 82))
    assert [event.data["version"] for event in found] == list(range(1, 82))


def test_two_creators_of_one_key(engine: Engine, log: Log) -> None:
    with engine.connect() as first, engine.connect() as second:
        first.execute(insert(Seat), {"id": 1})
        outcome: list[Exception] = []

        def insert_too() -> None:
            try:
                second.execute(insert(Seat), {"id": 1})
            except IntegrityError as error:
                outcome.append(error)

        other = threading.Thread(target=insert_too)
        other.start()
        first.commit()
        other.join()
    assert len(outcome) == 1
    assert log.kinds() == "c"


def test_a_key_that_one_deletes_and_another_waits_to_insert(engine: Engine, log: Log, run: Run) -> None:
    run("INSERT INTO seat VALUES (1, 'ana', 1)")
    with engine.connect() as first, engine.connect() as second:
        first.execute(text("DELETE FROM seat"))

        def insert_again(connection: Connection) -> None:
            connection.execute(
                text("INSERT INTO seat VALUES (1, 'bob', 1) ON CONFLICT (id) DO UPDATE SET taken_by = 'eve'")
            )
            connection.commit()

        other = threading.Thread(target=insert_again, args=(second,))
        other.start()
        first.commit()
        other.join()
    assert log.kinds() == "cdc"


def test_deadlocks_are_postgresqls_own_error(engine: Engine, run: Run) -> None:
    run("INSERT INTO seat VALUES (1, 'a', 1), (2, 'b', 1)")
    barrier = threading.Barrier(2)
    errors: list[Any] = []

    def cross(one: int, two: int) -> None:
        with engine.connect() as connection:
            connection.execute(text("UPDATE seat SET version = 2 WHERE id = :id"), {"id": one})
            barrier.wait()
            try:
                connection.execute(text("UPDATE seat SET version = 3 WHERE id = :id"), {"id": two})
                connection.commit()
            except OperationalError as error:
                errors.append(error.orig)

    threads = [threading.Thread(target=cross, args=pair) for pair in ((1, 2), (2, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [error.sqlstate for error in errors] == ["40P01"]


def test_locks_and_selects_for_update_are_no_events(engine: Engine, log: Log) -> None:
    with Session(engine) as session:
        session.add(Seat(id=1))
        session.commit()
        session.scalars(select(Seat).with_for_update()).one().taken_by = "ana"
        session.commit()
        session.refresh(session.get_one(Seat, 1), with_for_update=True)
        session.commit()
    assert log.kinds() == "cu"


def test_a_connection_that_is_lost_in_the_middle_leaves_nothing(engine: Engine, log: Log, run: Run) -> None:
    with Session(engine) as session:
        session.add(Seat(id=1))
        session.flush()
        pid = session.execute(text("SELECT pg_backend_pid()")).scalar_one()
        run("SELECT pg_terminate_backend(:pid)", pid=pid)
        with pytest.raises((DBAPIError, StatementError)):
            session.commit()
        session.rollback()
        session.add(Seat(id=2))
        session.commit()
    assert [found.key for found in log()] == ["2"]
