"""A flush of any size sends no statement more than without the mixin; a context is one statement a transaction."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey, delete, event, insert, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from lithair_sqla import EventSourced, context, create_all

Count = Callable[[Engine], AbstractContextManager[Any]]


class Base(DeclarativeBase):
    pass


class Columns:
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(default="a")
    amount: Mapped[int] = mapped_column(default=0)


class Plain(Columns, Base):
    __tablename__ = "plain"
    parts: Mapped[list[PlainPart]] = relationship(cascade="all, delete-orphan")


class PlainPart(Columns, Base):
    __tablename__ = "plain_part"
    of_id: Mapped[int] = mapped_column(ForeignKey("plain.id"))


class Sourced(EventSourced, Columns, Base):
    __tablename__ = "sourced"
    parts: Mapped[list[SourcedPart]] = relationship(cascade="all, delete-orphan")


class SourcedPart(EventSourced, Columns, Base):
    __tablename__ = "sourced_part"
    of_id: Mapped[int] = mapped_column(ForeignKey("sourced.id"))


@pytest.fixture(autouse=True)
def _warm(engine: Engine) -> None:
    """The first write on an engine checks the guards."""
    create_all(engine, Base)
    with Session(engine) as session:
        session.add_all([Sourced(parts=[SourcedPart()]), Plain(parts=[PlainPart()])])
        session.commit()


def life(session: Session, class_: Any, part: Any, size: int) -> None:
    """What an application does with objects, many at once."""
    items = [class_(parts=[part()]) for _ in range(size)]
    session.add_all(items)
    session.flush()
    for number, item in enumerate(items):
        item.amount = number
        if number % 2:
            item.name = "b"
    session.commit()
    for item in session.scalars(select(class_)):
        item.parts.append(part())
    session.flush()
    session.execute(update(class_).values(amount=class_.amount + 1))
    session.execute(insert(class_), [{"name": str(n)} for n in range(size)])
    for item in items:
        session.delete(item)
    session.commit()


@pytest.mark.parametrize("size", [1, 10, 500])
def test_a_session_sends_what_it_would_send_without_events(engine: Engine, count_statements: Count, size: int) -> None:
    counts = []
    for class_, part in ((Plain, PlainPart), (Sourced, SourcedPart)):
        with Session(engine) as session, count_statements(engine) as counted:
            life(session, class_, part, size)
        counts.append([statement.replace("sourced", "plain") for statement in counted.statements])
    assert counts[0] == counts[1]


def test_a_context_is_one_statement_a_transaction(engine: Engine, count_statements: Count) -> None:
    counts = []
    for entered in (False, True):
        with Session(engine) as session:
            session.execute(delete(SourcedPart))
            session.execute(delete(Sourced))
            session.commit()
        with Session(engine) as session, count_statements(engine) as counted:
            if entered:
                with context(user_id="ana"):
                    life(session, Sourced, SourcedPart, 20)
            else:
                life(session, Sourced, SourcedPart, 20)
        counts.append(counted.statements)
    extra = [statement for statement in counts[1] if "set_config" in statement]
    assert len(extra) == 2, "life() has two transactions"
    assert len(counts[1]) == len(counts[0]) + 2


def test_savepoints_and_their_rollbacks_need_no_second_telling(engine: Engine, count_statements: Count) -> None:
    with Session(engine) as session, context(user_id="ana"), count_statements(engine) as counted:
        session.add(Sourced())
        session.flush()
        for _ in range(3):
            nested = session.begin_nested()
            session.add(Sourced())
            session.flush()
            nested.rollback()
            session.add(Sourced())
            session.flush()
        with session.begin_nested():
            session.add(Sourced())
        session.commit()
    assert sum("set_config" in statement for statement in counted.statements) == 1


def test_reading_sends_nothing_more(engine: Engine, count_statements: Count) -> None:
    with Session(engine) as session, context(user_id="ana"), count_statements(engine) as counted:
        session.scalars(select(Sourced)).all()
        session.get(Sourced, -1)
        session.flush()
        session.commit()
    assert len(counted) == 2


def test_writing_other_classes_sends_nothing_more(engine: Engine, count_statements: Count) -> None:
    with Session(engine) as session, context(user_id="ana"), count_statements(engine) as counted:
        session.add(Plain(parts=[PlainPart()]))
        session.commit()
    assert len(counted) == 2


def test_a_connection_is_told_once_by_core_too(engine: Engine, count_statements: Count) -> None:
    with engine.begin() as connection, context(user_id="ana"), count_statements(engine) as counted:
        for number in range(5):
            connection.execute(insert(Sourced), {"name": str(number)})
    assert len(counted) == 6


def test_an_engine_made_by_execution_options_is_not_checked_again(engine: Engine, count_statements: Count) -> None:
    with count_statements(engine) as counted:
        for _ in range(3):
            with Session(engine.execution_options(isolation_level="READ COMMITTED")) as session:
                session.add(Sourced())
                session.commit()
    assert len(counted) == 3


def test_counting_does_not_leave_a_listener_behind(engine: Engine, count_statements: Count) -> None:
    with count_statements(engine) as counted:
        pass
    assert not event.contains(engine, "before_cursor_execute", counted.note)
