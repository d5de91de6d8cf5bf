"""At the first write on an engine: what is missing, disabled or old is an error that names table and command."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, insert
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from lithair_sqla import EventSourced, create_all
from lithair_sqla.errors import (
    GuardError,
    SchemaMissingError,
    SchemaVersionError,
    UnsupportedDatabaseError,
)

Run = Callable[..., Any]
pytestmark = pytest.mark.lithair_audit(enabled=False)


class Base(DeclarativeBase):
    pass


class Thing(EventSourced, Base):
    __tablename__ = "thing"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None]


def write(engine: Engine) -> None:
    """Write with an engine that has checked nothing yet."""
    fresh = create_engine(engine.url)
    try:
        with Session(fresh) as session:
            session.add(Thing())
            session.commit()
    finally:
        fresh.dispose()


@pytest.mark.parametrize(
    ("statement", "error", "says"),
    [
        ('DROP TRIGGER "!lithair_guard" ON thing', GuardError, "guard of table thing is missing"),
        ('ALTER TABLE thing DISABLE TRIGGER "!lithair_guard"', GuardError, "guard of table thing is disabled"),
        ("ALTER TABLE thing DISABLE TRIGGER ALL", GuardError, "guard of table thing is disabled"),
        ("COMMENT ON TRIGGER \"!lithair_guard\" ON thing IS 'lithair guard 0'", GuardError, "thing is outdated"),
        ("DROP TABLE thing CASCADE", SchemaMissingError, "table thing is missing"),
        ("DROP FUNCTION lithair_draw() CASCADE", SchemaMissingError, "lithair_draw is missing"),
        ("COMMENT ON FUNCTION lithair_draw() IS 'old'", SchemaVersionError, "lithair_draw is of another version"),
    ],
)
def test_what_is_not_as_it_should_be_is_an_error_that_names_the_command(
    engine: Engine, run: Run, statement: str, error: type[Exception], says: str
) -> None:
    create_all(engine, Base)
    run(statement)
    with pytest.raises(error, match=says) as caught:
        write(engine)
    assert "create_all(engine, Base)" in str(caught.value)
    create_all(engine, Base)
    write(engine)
    assert run("SELECT count(*) FROM lithair_events") == [(1,)]


def test_a_database_without_the_librarys_objects(engine: Engine) -> None:
    Base.metadata.tables["thing"].create(engine)
    with pytest.raises(SchemaMissingError, match="create_all"):
        write(engine)


def test_core_is_checked_too(engine: Engine, run: Run) -> None:
    create_all(engine, Base)
    run('ALTER TABLE thing DISABLE TRIGGER "!lithair_guard"')
    fresh = create_engine(engine.url)
    with fresh.connect() as connection, pytest.raises(GuardError, match="disabled"):
        connection.execute(insert(Thing))
    fresh.dispose()


def test_a_database_that_is_not_postgresql_is_refused() -> None:
    other = create_engine("sqlite://")
    with pytest.raises(UnsupportedDatabaseError, match="postgresql"):
        create_all(other, Base)
    other.dispose()


def test_create_all_is_idempotent_and_says_nothing_new(engine: Engine, run: Run) -> None:
    create_all(engine, Base)
    triggers = "SELECT oid FROM pg_trigger WHERE tgname LIKE '!lithair%' ORDER BY 1"
    before = run(triggers)
    create_all(engine, Base)
    assert run(triggers) == before
