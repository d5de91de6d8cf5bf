"""A role with EXECUTE and SELECT alone can name its own changes, and nothing else: no event is changed or forged."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from lithair_sqla import EventSourced, StorageConfig, context, emits, expect, record
from lithair_sqla.errors import DuplicateCommand, LithairError, StreamNotFoundError
from lithair_sqla.schema.create import grant, names_in


class Base(DeclarativeBase):
    pass


class Item(EventSourced, Base):
    __tablename__ = "item"
    id: Mapped[int] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(default=0)

    @emits("ItemBumped")
    def bump(self) -> None:
        self.n += 1


@pytest.fixture
def application(engine: Engine, role: Callable[..., Engine]) -> Engine:
    """An engine of a role that an application has: its own table, EXECUTE and SELECT on the library's objects."""
    other = role(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON item TO {role}", "GRANT USAGE ON SEQUENCE item_id_seq TO {role}"
    )
    assert other.url.username is not None
    with engine.begin() as connection:
        grant(connection, Base, other.url.username)
    return other


@pytest.fixture
def item(session: Session) -> Item:
    """An item of the owner's, committed."""
    made = Item(n=0)
    session.add(made)
    session.commit()
    return made


def after_flush(connection: Connection, **request: Any) -> None:
    connection.execute(text("SELECT lithair_after_flush(0, NULL, :request)"), {"request": json.dumps(request)})


def call(item: Item, **more: Any) -> dict[str, Any]:
    return {"s": [["Item", str(item.id)]], "t": "Forged", "p": {}, "v": 1, "m": 0, "w": 1000, **more}


def events(log: Any, item: Item) -> list[Any]:
    return [(e.position, e.kind, e.type, e.data, e.payload, e.causation_id) for e in log("Item", str(item.id))]


def test_an_application_can_do_all_there_is(application: Engine, log: Any) -> None:
    with Session(application) as session, context(user_id="ana", idempotency_key="application"):
        item = Item(n=0)
        session.add(item)
        session.flush()
        item.bump()
        record(item, "Noted")
        session.flush()
        expect(session, item, version=3)
        item.bump()
        key = item.id
        session.commit()
    with Session(application) as session, context(idempotency_key="application"):
        session.add(Item())
        with pytest.raises(DuplicateCommand):
            session.commit()

    assert log.types("Item", str(key)) == ["ItemCreated", "ItemBumped", "Noted", "ItemBumped"]


def test_committed_events_cannot_be_named(application: Engine, item: Item, log: Any) -> None:
    before = events(log, item)
    with application.begin() as connection:
        after_flush(connection, events=[call(item)])

    assert events(log, item)[: len(before)] == before
    assert [found[1:3] for found in events(log, item)[len(before) :]] == [("n", "Forged")]


def test_nor_with_settings_that_say_the_transaction_began_long_ago(application: Engine, item: Item, log: Any) -> None:
    before = events(log, item)
    with application.begin() as connection:
        namespace = names_in(connection, StorageConfig()).namespace
        connection.execute(
            text(
                f"SELECT set_config('lithair.advertised_{namespace}', pg_current_xact_id()::text, true), "
                f"set_config('lithair.transaction_{namespace}', '1', true)"
            )
        )
        after_flush(connection, events=[call(item, m=-5)])

    assert events(log, item)[: len(before)] == before


def test_events_of_another_open_transaction_cannot_be_named(
    engine: Engine, application: Engine, item: Item, log: Any
) -> None:
    with Session(engine) as other:
        mine = Item(n=0)
        other.add(mine)
        other.flush()
        with application.connect() as connection:
            connection.exec_driver_sql("SET lock_timeout = '100ms'")
            with pytest.raises((StreamNotFoundError, DBAPIError)):
                after_flush(connection, events=[call(mine)])
        other.commit()
        assert log.types("Item", str(mine.id)) == ["ItemCreated"]


def test_what_was_committed_in_an_earlier_transaction_of_the_same_connection_is_out_of_reach(
    application: Engine, log: Any
) -> None:
    with application.connect() as connection:
        key = connection.execute(text("INSERT INTO item (n) VALUES (1) RETURNING id")).scalar_one()
        connection.commit()
        connection.execute(text("UPDATE item SET n = 2 WHERE id = :key"), {"key": key})
        after_flush(connection, events=[{**call(Item(id=key)), "t": "Mine"}])
        connection.commit()

    assert log.types("Item", str(key)) == ["ItemCreated", "Mine"]


def test_an_event_is_named_once(application: Engine, log: Any) -> None:
    with application.begin() as connection:
        key = connection.execute(text("INSERT INTO item (n) VALUES (1) RETURNING id")).scalar_one()
        after_flush(connection, events=[{**call(Item(id=key)), "t": "First"}])
        after_flush(connection, events=[{**call(Item(id=key)), "t": "Second"}])

    assert [(found.kind, found.type) for found in log("Item", str(key))] == [("c", "First"), ("n", "Second")]


STATEMENTS = [
    "UPDATE lithair_events SET type = 'Forged'",
    "DELETE FROM lithair_events",
    "INSERT INTO lithair_events SELECT * FROM lithair_events",
    "UPDATE lithair_streams SET version = 99",
    "INSERT INTO lithair_idempotency SELECT * FROM lithair_idempotency",
    "DELETE FROM lithair_idempotency",
    "INSERT INTO lithair_checkpoints (name) VALUES ('replay:1')",
    "UPDATE lithair_schemas SET row_lock = 'DROP TABLE item'",
    "SELECT nextval('lithair_position')",
    "SELECT setval('lithair_position', 1)",
    "SELECT lithair_draw()",
    "SELECT lithair_advertise()",
    "SELECT lithair_begin_batch()",
    "SELECT lithair_lock_rows('Item', '{1}')",
    "SELECT lithair_append_notes(0, NULL, '[]')",
    "SELECT lithair_claim(0, 'x', NULL, '1 day')",
    "SELECT lithair_log_event(0, 1, 99, 'u', 'Forged', 1::smallint, '{}', NULL, NULL, NULL)",
    "SELECT lithair_begin_replay('item')",
    "ALTER TABLE item DISABLE TRIGGER ALL",
    'DROP TRIGGER "!lithair_guard" ON item',
    "SET session_replication_role = replica",
]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_what_a_role_may_not_do(application: Engine, item: Item, statement: str) -> None:
    with application.connect() as connection, pytest.raises(DBAPIError, match=r"permission denied|must be owner"):
        connection.exec_driver_sql(statement)


def test_an_event_that_changes_a_row_cannot_be_appended_from_outside(application: Engine, item: Item) -> None:
    statement = text("SELECT lithair_append(0, :streams, :events)")
    for kind in "cudb":
        values = {
            "streams": json.dumps([{"n": "Item", "k": str(item.id), "c": 1, "e": -2}]),
            "events": json.dumps([{"s": 1, "o": 1, "k": kind, "t": "Forged", "v": 1, "d": {"n": 99}}]),
        }
        with application.connect() as connection, pytest.raises(LithairError, match="only its guard writes events"):
            connection.execute(statement, values)


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"events": []},
        {"events": [], "expect": []},
        {"nothing": 1},
    ],
)
def test_a_request_for_nothing_does_nothing(application: Engine, item: Item, log: Any, request_: Any) -> None:
    before = events(log, item)
    with application.begin() as connection:
        after_flush(connection, **request_)

    assert events(log, item) == before


def test_a_role_that_has_only_the_table_goes_on_writing(engine: Engine, role: Callable[..., Engine], log: Any) -> None:
    """Rights on the table alone, an empty search path: captured; what needs a function of ours says what is missing."""
    poor = role(
        "GRANT SELECT, INSERT, UPDATE ON item TO {role}",
        "GRANT USAGE ON SEQUENCE item_id_seq TO {role}",
        options="-c search_path=",
    )
    with poor.begin() as connection:
        key = connection.exec_driver_sql("INSERT INTO public.item (n) VALUES (1) RETURNING id").scalar_one()

    assert log.types("Item", str(key)) == ["ItemCreated"]
