"""Writers that know nothing of the library: roles with rights on the user's table alone, refused writes, TRUNCATE."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Engine, ForeignKey, insert, text, update
from sqlalchemy.exc import DBAPIError, ProgrammingError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from lithair_sqla import EventSourced, Persistence, audit, create_all
from lithair_sqla.errors import LithairError, WriteRefusedError
from lithair_sqla.schema.create import grant

if TYPE_CHECKING:
    from tests.integration.conftest import Log

Run = Callable[..., Any]
Role = Callable[..., Engine]


class Base(DeclarativeBase):
    pass


class Open(EventSourced, Base):
    __tablename__ = "open"

    id: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[int] = mapped_column(default=0)
    closed: Mapped[list[Closed]] = relationship(passive_deletes=True)


class Closed(EventSourced, Base):
    """Takes writes from announced sessions only."""

    __tablename__ = "closed"
    __persistence__ = Persistence(foreign_writes="refuse", truncate="capture", snapshot_frequency=2)

    id: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[int] = mapped_column(default=0)
    open_id: Mapped[int | None] = mapped_column(ForeignKey("open.id", ondelete="CASCADE"))


@pytest.fixture(autouse=True)
def _tables(engine: Engine) -> None:
    create_all(engine, Base)


RIGHTS = (
    "GRANT SELECT, INSERT, UPDATE, DELETE ON open TO {role}",
    "GRANT USAGE ON SEQUENCE open_id_seq TO {role}",
)


@pytest.mark.parametrize("options", ["", "-csearch_path=", "-csearch_path=pg_catalog", "-csearch_path=nowhere,pg_temp"])
def test_a_role_with_rights_on_the_table_alone_writes_and_is_recorded(role: Role, log: Log, options: str) -> None:
    other = role(*RIGHTS, options=options)
    with other.begin() as connection:
        connection.exec_driver_sql("INSERT INTO public.open (value) VALUES (1), (2)")
        connection.exec_driver_sql("UPDATE public.open SET value = value + 1")
        connection.exec_driver_sql("UPDATE public.open SET id = id + 10")
        connection.exec_driver_sql("DELETE FROM public.open WHERE id = 11")
    assert log.kinds("Open", "11") == "cd"
    assert {found.actor for found in log()} == {other.url.username}


def test_objects_of_a_role_in_its_own_path_do_not_stand_in_for_ours(role: Role, log: Log) -> None:
    other = role(*RIGHTS)
    with other.begin() as connection:
        connection.exec_driver_sql("CREATE TEMP TABLE lithair_streams (id int)")
        connection.exec_driver_sql("CREATE TEMP TABLE lithair_events (id int)")
        connection.exec_driver_sql(
            "CREATE FUNCTION pg_temp.to_jsonb(anyelement) RETURNS jsonb LANGUAGE sql AS 'SELECT NULL::jsonb'"
        )
        connection.exec_driver_sql("SET search_path = pg_temp, pg_catalog, public")
        connection.exec_driver_sql("INSERT INTO public.open (value) VALUES (1)")
    assert log.kinds("Open") == "c"


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM lithair_events",
        "SELECT * FROM lithair_streams",
        "SELECT * FROM lithair_event_log",
        "INSERT INTO lithair_streams (name, key, version, first_position) VALUES ('Open', '9', 1, 1)",
        "UPDATE lithair_events SET actor = 'nobody'",
        "DELETE FROM lithair_events",
        "DELETE FROM lithair_snapshots",
        "TRUNCATE lithair_events",
        'ALTER TABLE open DISABLE TRIGGER "!lithair_guard"',
        'DROP TRIGGER "!lithair_guard" ON open',
        "ALTER TABLE open DISABLE TRIGGER ALL",
        "SET session_replication_role = replica",
        "SELECT nextval('lithair_position')",
        "SELECT lithair_begin_replay('open')",
        "SELECT lithair_end_replay('open')",
        "SELECT lithair_log_event(0, 1, 1, 'n', 'X', 1::smallint, '{}', NULL, NULL, NULL)",
        "SELECT lithair_append(0, '[]', '[]')",
        "SELECT lithair_take_snapshot(1, 1, 1, '{}', 1::smallint, '', 1)",
        "SELECT lithair_capture_delete(0, 'Open', '1', 'X', 1::smallint, '{}', NULL, NULL)",
        "SELECT lithair_guard_open()",
        "CREATE TRIGGER mine AFTER INSERT ON open FOR EACH ROW EXECUTE FUNCTION lithair_guard_open()",
    ],
)
def test_a_role_with_rights_on_the_table_alone_cannot_read_or_change_the_log(
    role: Role, log: Log, statement: str
) -> None:
    other = role(*RIGHTS)
    with other.begin() as connection:
        connection.exec_driver_sql("INSERT INTO open (value) VALUES (1)")
    with pytest.raises(ProgrammingError) as caught, other.begin() as connection:
        connection.exec_driver_sql(statement)
    assert getattr(caught.value.orig, "sqlstate", None) in {"42501", "0A000"}
    assert log.kinds() == "c"


def test_an_applications_role_reads_the_log_and_cannot_change_it(engine: Engine, role: Role, log: Log) -> None:
    other = role(*RIGHTS)
    with engine.begin() as connection:
        grant(connection, Base, other.url.username or "")
    with Session(other) as session:
        item = Open(value=1)
        session.add(item)
        session.commit()
        assert Open.rebuild_from_events(session, item.id).value == 1
        assert audit(session, Open)
    for statement in (
        "UPDATE lithair_events SET actor = 'nobody'",
        "DELETE FROM lithair_events",
        "INSERT INTO lithair_snapshots SELECT * FROM lithair_snapshots",
        "UPDATE lithair_streams SET version = 0",
        "DELETE FROM lithair_parts.lithair_events_p000000",
        "SELECT lithair_begin_replay('open')",
        "INSERT INTO lithair_checkpoints (name, holder) VALUES ('replay:1', 1)",
    ):
        with pytest.raises(ProgrammingError, match="permission denied"), other.begin() as connection:
            connection.exec_driver_sql(statement)


def test_the_setting_of_a_rebuild_lets_nobody_else_write_unlogged(role: Role, engine: Engine, log: Log) -> None:
    other = role(*RIGHTS)
    with engine.begin() as connection:
        grant(connection, Base, other.url.username or "")
    with other.begin() as connection:
        connection.exec_driver_sql("SET lithair.replay = '1'")
        connection.exec_driver_sql("SELECT set_config('lithair.replay', 'on', false)")
        connection.exec_driver_sql("INSERT INTO open (value) VALUES (1)")
    with engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL lithair.replay = '1'")
        connection.exec_driver_sql("INSERT INTO open (value) VALUES (2)")
        connection.exec_driver_sql("SELECT lithair_begin_replay('closed')")
        connection.exec_driver_sql("INSERT INTO open (value) VALUES (3)")
        connection.exec_driver_sql("SELECT lithair_end_replay('closed')")
    assert log.kinds("Open") == "ccc"


def test_settings_of_ours_that_somebody_garbled_harm_only_himself(role: Role, log: Log) -> None:
    other = role(*RIGHTS)
    for name in ("lithair.context", "lithair.advertised", "lithair.replay"):
        with other.connect() as connection:
            connection.exec_driver_sql(f"SET {name} = 'rubbish'")
            try:
                connection.exec_driver_sql("INSERT INTO open (value) VALUES (1)")
                connection.commit()
            except (DBAPIError, LithairError):
                connection.rollback()
    with other.begin() as connection:
        connection.exec_driver_sql("INSERT INTO open (value) VALUES (7)")
    assert log.data("Open")[-1]["value"] == 7


def test_foreign_writes_are_refused_and_a_sessions_are_not(engine: Engine, log: Log, run: Run) -> None:
    with Session(engine) as session:
        session.add(Closed(value=1))
        session.commit()
        session.execute(update(Closed).values(value=2))
        session.execute(insert(Closed), [{"value": 5}])
        session.execute(text("UPDATE closed SET value = 6 WHERE id = 2"))
        session.commit()
        session.bulk_save_objects([Closed(value=3)])
        session.commit()
    for statement, kind in (
        ("UPDATE closed SET value = 3", "UPDATE"),
        ("INSERT INTO closed (value) VALUES (1)", "INSERT"),
        ("DELETE FROM closed", "DELETE"),
    ):
        with pytest.raises(WriteRefusedError, match=rf"{kind} of public\.closed refused.*foreign_writes") as caught:
            foreign(engine, statement)
        assert caught.value.code == "LTH400"
    assert log.kinds("Closed") == "cucuc"


def foreign(engine: Engine, statement: str) -> None:
    """Send a statement past every hook of ours."""
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)


def test_an_announcement_ends_with_its_transaction(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(insert(Closed), {"value": 1})
        connection.exec_driver_sql("UPDATE closed SET value = 2")
        connection.commit()
        with pytest.raises(WriteRefusedError):
            connection.exec_driver_sql("UPDATE closed SET value = 3")


def test_in_autocommit_a_session_announces_itself_too(engine: Engine, log: Log) -> None:
    with Session(engine.execution_options(isolation_level="AUTOCOMMIT")) as session:
        session.add(Closed(value=1))
        session.commit()
        session.execute(update(Closed).values(value=2))
        session.commit()
    with (
        engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
        pytest.raises(WriteRefusedError),
    ):
        connection.exec_driver_sql("UPDATE closed SET value = 3")
    assert log.kinds("Closed") == "cu"


def test_a_cascade_into_a_table_that_refuses_is_announced_with_its_parent(engine: Engine, log: Log, run: Run) -> None:
    with Session(engine) as session:
        session.add(Open(closed=[Closed(), Closed()]))
        session.commit()
    with pytest.raises(WriteRefusedError, match="closed"):
        foreign(engine, "DELETE FROM open")
    with Session(engine) as session:
        session.delete(session.get_one(Open, 1))
        session.commit()
    assert log.kinds("Closed") == "ccdd"


def test_truncate_is_refused_by_default(engine: Engine, log: Log) -> None:
    with Session(engine) as session:
        session.add(Open())
        session.commit()
    for statement in ("TRUNCATE open CASCADE", "TRUNCATE closed, open", "TRUNCATE open, closed RESTART IDENTITY"):
        with pytest.raises(WriteRefusedError, match=r"TRUNCATE of public\.open refused.*Use DELETE"):
            foreign(engine, statement)
    assert log.kinds() == "c"


def test_truncate_where_it_is_captured_is_one_delete_a_row(engine: Engine, log: Log) -> None:
    with Session(engine) as session:
        session.add_all([Closed(value=n) for n in range(3)])
        session.commit()
    with engine.begin() as connection:
        connection.execute(update(Closed).where(Closed.id == 1).values(value=9))
        connection.exec_driver_sql("TRUNCATE closed RESTART IDENTITY")
    assert log.kinds("Closed") == "cccuddd"
    assert [found.meta for found in log("Closed")][-1] == {"truncate": True}
    with Session(engine) as session:
        session.add(Closed(value=1))
        session.commit()
    assert log.kinds("Closed", "1") == "cudc"


def test_a_truncate_that_is_rolled_back_leaves_nothing(engine: Engine, log: Log) -> None:
    with Session(engine) as session:
        session.add(Closed())
        session.commit()
    with engine.connect() as connection:
        connection.exec_driver_sql("TRUNCATE closed")
        connection.rollback()
    assert log.kinds("Closed") == "c"
