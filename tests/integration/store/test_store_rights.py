"""An application's role appends and reads; nobody but the owner touches what was written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import MetaData, text
from sqlalchemy.exc import ProgrammingError

from lithair_sqla.options import StorageConfig
from lithair_sqla.schema.create import create_all, grant
from lithair_sqla.store import EventStore, check_sequence
from lithair_sqla.types import ExpectedVersion, NewEvent, StreamAppend, StreamId

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

ACCOUNT = ("Account", "42")
SMALL = StorageConfig(partition_width=1_000, partitions_ahead=1)


@pytest.fixture
def template() -> None:
    """These tests make the library's objects themselves."""


@pytest.fixture
def library(engine: Engine) -> Engine:
    """A log with partitions so small that an application crosses them."""
    create_all(engine, config=SMALL)
    return engine


@pytest.fixture
def application(library: Engine, role: Callable[..., Engine]) -> Iterator[Connection]:
    """A connection of a role that is neither superuser nor owner."""
    other = role()
    with library.begin() as connection:
        EventStore(connection).append(ACCOUNT, NewEvent("Set", {"a": 1}))
        grant(connection, MetaData(), other.url.username or "")
    with other.connect() as connection:
        yield connection


@pytest.mark.usefixtures("sound")
def test_an_application_does_all_that_the_store_offers(application: Connection) -> None:
    store = EventStore(application, config=SMALL)
    assert store.append(ACCOUNT, NewEvent("Set", {"b": 2}), expected=1, idempotency_key="k").versions == (2,)
    assert store.append(ACCOUNT, NewEvent("Set", {"b": 2}), expected=1, idempotency_key="k").duplicate
    appends = [StreamAppend(StreamId("Meter", str(number)), [NewEvent("Read")] * 100) for number in range(50)]
    store.append_many(appends, batch_size=700)
    store.save_snapshot(ACCOUNT, 2, {"a": 1, "b": 2})
    application.commit()
    assert store.load(ACCOUNT) == ({"a": 1, "b": 2}, 2)
    assert len(store.read_stream(ACCOUNT)) == 2
    assert sum(1 for _ in store.iter_all()) == 5_002
    assert store.horizon() == 5_002
    assert len(store.streams("Meter")) == 50
    check_sequence(application, config=SMALL)
    assert store.read_stream(ACCOUNT)[-1].actor == application.exec_driver_sql("SELECT session_user").scalar()


FORBIDDEN = [
    "UPDATE lithair_events SET type = 'x'",
    "DELETE FROM lithair_events",
    "TRUNCATE lithair_events",
    "INSERT INTO lithair_events SELECT * FROM lithair_events",
    "COPY lithair_events FROM STDIN",
    "UPDATE lithair_parts.lithair_events_p000000 SET type = 'x'",
    "INSERT INTO lithair_parts.lithair_events_p000000 SELECT * FROM lithair_events",
    "UPDATE lithair_streams SET version = 0",
    "DELETE FROM lithair_streams",
    "DELETE FROM lithair_snapshots",
    "UPDATE lithair_idempotency SET key = 'x'",
    "SELECT nextval('lithair_position')",
    "SELECT setval('lithair_position', 1)",
    "SELECT lithair_draw()",
    "SELECT lithair_reserve(0, '[]', 1)",
    "SELECT lithair_claim(0, 'k', 'd', '1 day')",
    "SELECT lithair_add_leaf(77)",
    "ALTER TABLE lithair_events DISABLE TRIGGER ALL",
    "DROP TABLE lithair_events CASCADE",
    "CREATE TABLE lithair_parts.x (n int)",
]


def test_an_application_cannot_go_around_the_append(application: Connection) -> None:
    for statement in FORBIDDEN:
        with pytest.raises(ProgrammingError) as caught, application.begin_nested():
            application.execute(text(statement))
        assert getattr(caught.value.orig, "sqlstate", "") == "42501", statement


def test_a_hostile_search_path_takes_nobody_in(application: Connection) -> None:
    """Objects of the role's own that are called like ours, first on its path, are not what the functions use."""
    application.exec_driver_sql("CREATE TEMP TABLE lithair_streams (id bigint, version bigint)")
    application.exec_driver_sql("CREATE TEMP TABLE lithair_schemas (name text, relation text)")
    store = EventStore(application, config=SMALL.replace(schema="public"))
    for path in ("pg_temp, public", "''"):
        application.exec_driver_sql(f"SET search_path = {path}")
        assert store.append(ACCOUNT, NewEvent("Set"), expected=ExpectedVersion.EXISTS).positions
    assert len(store.read_stream(ACCOUNT)) == 3


def test_a_role_without_rights_is_told_so_by_postgresql(engine: Engine, role: Callable[..., Engine]) -> None:
    create_all(engine)
    with role().connect() as connection:
        calls: list[Callable[[EventStore], Any]] = [
            lambda store: store.append(ACCOUNT, NewEvent("Set")),
            lambda store: store.read_stream(ACCOUNT),
        ]
        for call in calls:
            with pytest.raises(ProgrammingError, match="permission denied"):
                call(EventStore(connection))
            connection.rollback()
