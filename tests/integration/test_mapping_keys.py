"""Keys of every type, keys that change, keys that are swapped: each row keeps one stream that is its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import (
    ARRAY,
    CHAR,
    Boolean,
    Column,
    Date,
    DateTime,
    Double,
    Engine,
    Enum,
    Float,
    ForeignKey,
    Integer,
    Interval,
    LargeBinary,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    Time,
    Uuid,
    create_engine,
    text,
)
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.exc import NotSupportedError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.types import UserDefinedType

from lithair_sqla import EventSourced, audit, create_all, history, rebuild
from lithair_sqla.errors import MappingError
from lithair_sqla.options import Persistence
from lithair_sqla.schema.guards import INFO_KEY, Guard, key_columns
from lithair_sqla.schema.tables import LibraryTables

if TYPE_CHECKING:
    from tests.integration.conftest import Log

Run = Callable[..., Any]


def guarded(*items: Any, name: str = "thing", **keywords: Any) -> Table:
    metadata = MetaData()
    table = Table(name, metadata, *items, **keywords)
    table.info[INFO_KEY] = Guard(stream="Thing", persistence=Persistence())
    LibraryTables.of(metadata)
    return table


# type, spellings of keys that are all different, and of one key in several spellings
KEYS: dict[str, tuple[Any, list[str], list[str]]] = {
    "integer": (Integer, ["1", "-5"], ["7", "07"]),
    "uuid": (Uuid, ["'00000000-0000-0000-0000-000000000001'"], ["'{AAAAAAAA-0000-0000-0000-000000000001}'"]),
    "text": (Text, ["''", "'a'", "'a '", "'A'", "'[\"a\"]'", "'é''\"\\'"], ["'x'"]),
    "char(4)": (CHAR(4), ["'a'", "'A'"], ["'b'", "'b '", "'b   '"]),
    "numeric": (Numeric, ["1.5", "0", "1e30", "'NaN'", "'Infinity'"], ["1", "1.0", "1.00"]),
    "double": (Double, ["0.1", "0.30000000000000004", "1e300", "'NaN'"], ["0", "'-0'", "0e5"]),
    "float(3)": (Float(3), ["0.1", "1.5"], ["0", "'-0'"]),
    "boolean": (Boolean, ["true"], ["false"]),
    "date": (Date, ["'2024-02-29'", "'infinity'", "'0044-03-15 BC'"], ["'2024-01-01'", "'Jan 1 2024'"]),
    "timestamptz": (
        DateTime(timezone=True),
        ["'2024-01-01 12:00Z'", "'-infinity'"],
        ["'2024-01-01 00:00Z'", "'2024-01-01 05:45+05:45'"],
    ),
    "time": (Time, ["'12:00'", "'24:00'"], ["'00:00'"]),
    "interval": (
        Interval,
        ["'1 hour'", "'-1 day'", "'0'"],
        ["'1 mon'", "'30 days'", "'720 hours'", "'29 days 24:00'", "'1 mon -1 day +24:00'"],
    ),
    "enum": (Enum("new", "o'ld", name="age"), ["'new'"], ["'o''ld'"]),
    "bytea": (LargeBinary, ["''", "'\\x00ff'"], ["'\\x61'", "'a'"]),
    "inet": (pg.INET, ["'10.0.0.1'", "'10.0.0.1/8'"], ["'::1'", "'0:0:0:0:0:0:0:1'"]),
    "int4range": (pg.INT4RANGE, ["'[1,5)'", "'empty'"], ["'[7,8]'", "'[7,9)'"]),
    "numrange": (pg.NUMRANGE, ["'[1,5)'"], ["'[7.0,8]'", "'[7,8.00]'"]),
    "integer[]": (ARRAY(Integer), ["'{}'", "'{1,2}'", "'[0:1]={1,2}'"], ["'{3}'"]),
    "numeric[]": (ARRAY(Numeric), ["'{1.5}'"], ["'{1.0}'", "'{1.00}'"]),
    "domain": (pg.DOMAIN("code", Numeric(10, 3)), ["2"], ["1", "1.0"]),
}


@pytest.mark.parametrize("kind", KEYS)
def test_keys_that_are_equal_name_one_stream_and_others_do_not(engine: Engine, log: Log, kind: str) -> None:
    type_, different, same = KEYS[kind]
    table = guarded(Column("id", type_, primary_key=True), Column("n", Integer))
    create_all(engine, table.metadata)
    spelled = table.c.id.type.compile(engine.dialect)
    with engine.begin() as connection:
        for key in (*different, same[0]):
            connection.exec_driver_sql(f"INSERT INTO thing VALUES (CAST({key} AS {spelled}), 0)")
        connection.exec_driver_sql("UPDATE thing SET n = 1")
        for key in (*same[1:], *same):
            connection.exec_driver_sql(f"UPDATE thing SET n = n + 1 WHERE id = CAST({key} AS {spelled})")
            connection.exec_driver_sql(
                f"UPDATE thing SET id = CAST({key} AS {spelled}) WHERE id = CAST({key} AS {spelled})"
            )
        assert audit(connection, table)
        connection.exec_driver_sql(f"DELETE FROM thing WHERE id = CAST({same[-1]} AS {spelled})")
    live = {event.key for event in log()} - {event.key for event in log() if event.kind == "d"}
    assert len(live) == len(different)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"INSERT INTO thing VALUES (CAST({same[0]} AS {spelled}), 9)")
        connection.exec_driver_sql('ALTER TABLE thing DISABLE TRIGGER "!lithair_guard"')
        connection.exec_driver_sql("DELETE FROM thing")
        connection.exec_driver_sql('ALTER TABLE thing ENABLE ALWAYS TRIGGER "!lithair_guard"')
    rebuild(engine, table)


def test_a_citext_key_is_one_stream_whatever_its_case(engine: Engine, log: Log, extension: Run, run: Run) -> None:
    extension("citext")
    table = guarded(Column("id", pg.CITEXT, primary_key=True), Column("n", Integer))
    create_all(engine, table.metadata)
    run("INSERT INTO thing VALUES ('Ana', 1), ('Bob', 1)")
    run("UPDATE thing SET n = 2 WHERE id = 'ANA'")
    run("UPDATE thing SET id = 'ANA' WHERE id = 'ana'")
    run("INSERT INTO thing VALUES ('aNA', 3) ON CONFLICT (id) DO UPDATE SET n = excluded.n")
    assert log.kinds("Thing", "ana") == "cuuu"
    run("DELETE FROM thing WHERE id = 'ana'")
    assert log.kinds("Thing", "ana") == "cuuud"


def test_the_guard_finds_a_citext_key_by_its_index_wherever_the_extension_stands(
    engine: Engine, extension: Run, run: Run
) -> None:
    extension("citext")
    run("CREATE SCHEMA apart")
    run("ALTER EXTENSION citext SET SCHEMA apart")
    other = create_engine(engine.url.update_query_dict({"options": "-csearch_path=public,apart"}))
    table = guarded(Column("id", pg.CITEXT, primary_key=True), Column("n", Integer))
    create_all(other, table.metadata)
    with other.begin() as connection:
        connection.exec_driver_sql("INSERT INTO thing SELECT 'k' || i, i FROM generate_series(1, 3000) i")
        connection.exec_driver_sql("ANALYZE thing")
    with other.begin() as connection:
        connection.exec_driver_sql("DELETE FROM thing WHERE n <= 50")
        scans = "SELECT idx_scan FROM pg_stat_xact_user_tables WHERE relname = 'thing'"
        assert connection.exec_driver_sql(scans).scalar_one() == 50
    other.dispose()


class Base(DeclarativeBase):
    pass


class Line(EventSourced, Base):
    """A composite key, one part of it deferrable and often changed."""

    __tablename__ = "line"
    __table_args__ = (PrimaryKeyConstraint("order_no", "place", deferrable=True, initially="IMMEDIATE"),)

    order_no: Mapped[str] = mapped_column(CHAR(6))
    place: Mapped[int]
    amount: Mapped[int] = mapped_column(default=0)


class Country(EventSourced, Base):
    """A natural key that others refer to."""

    __tablename__ = "country"

    code: Mapped[str] = mapped_column(String(2), primary_key=True)
    name: Mapped[str]


class City(EventSourced, Base):
    __tablename__ = "city"

    country_code: Mapped[str] = mapped_column(
        ForeignKey("country.code", onupdate="CASCADE", ondelete="CASCADE"), primary_key=True
    )
    name: Mapped[str] = mapped_column(primary_key=True)
    people: Mapped[int] = mapped_column(default=0)


def test_a_composite_key_is_a_json_array_of_its_texts(engine: Engine, log: Log) -> None:
    create_all(engine, Base)
    with Session(engine) as session:
        line = Line(order_no='A"1', place=1)
        session.add(line)
        session.commit()
        line.amount = 5
        session.commit()
        assert [event.kind for event in history(session, line)] == ["c", "u"]
        assert [event.kind for event in history(session, Line, ('A"1', 1))] == ["c", "u"]
        assert Line.rebuild_from_events(session, ('A"1', 1)).amount == 5
    assert {event.key for event in log()} == {'["A\\"1", "1"]'}


def test_a_key_change_ends_one_stream_and_begins_another_each_knowing_the_other(engine: Engine, log: Log) -> None:
    create_all(engine, Base)
    with Session(engine) as session:
        session.add(Country(code="fr", name="France"))
        session.commit()
        session.get_one(Country, "fr").code = "FR"
        session.commit()
        session.get_one(Country, "FR").name = "La France"
        session.commit()
        assert Country.rebuild_from_events(session, "FR").name == "La France"
    assert log.kinds("Country", "fr") == "cd"
    assert log("Country", "fr")[1].meta == {"moved_to": "FR"}
    assert log.kinds("Country", "FR") == "cu"
    assert log("Country", "FR")[0].meta == {"moved_from": "fr"}
    assert log("Country", "FR")[0].data == {"code": "FR", "name": "France"}


def test_a_cascade_of_key_changes_is_logged_row_by_row(engine: Engine, log: Log, run: Run) -> None:
    create_all(engine, Base)
    with Session(engine) as session:
        session.add(Country(code="fr", name="France"))
        session.flush()
        session.add_all([City(country_code="fr", name="Paris"), City(country_code="fr", name="Nice")])
        session.commit()
    run("UPDATE country SET code = 'FR'")
    assert log.kinds("City", '["fr", "Nice"]') == "cd"
    assert log.kinds("City", '["FR", "Nice"]') == "c"
    run("DELETE FROM country")
    assert log.kinds("City", '["FR", "Nice"]') == "cd"


def test_a_key_that_was_left_and_taken_again_goes_on_with_its_versions(engine: Engine, log: Log, run: Run) -> None:
    create_all(engine, Base)
    run("INSERT INTO country VALUES ('a', '1')")
    run("UPDATE country SET code = 'b'")
    run("INSERT INTO country VALUES ('a', '2')")
    run("DELETE FROM country WHERE code = 'b'")
    run("UPDATE country SET code = 'b'")
    assert [event.version for event in log("Country", "a")] == [1, 2, 3, 4]
    assert log.kinds("Country", "a") == "cdcd"
    assert log.kinds("Country", "b") == "cdc"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE line SET place = place + 1",
        "UPDATE line SET place = place - 1",
        "UPDATE line SET place = 4 - place, amount = amount + 1",
        "UPDATE line SET place = CASE place WHEN 1 THEN 2 WHEN 2 THEN 1 ELSE place END",
        "UPDATE line SET place = CASE place WHEN 1 THEN 2 WHEN 2 THEN 3 ELSE 1 END",
        "WITH gone AS (DELETE FROM line WHERE place = 1) UPDATE line SET place = 1 WHERE place = 2",
        "WITH gone AS (DELETE FROM line WHERE place = 1) INSERT INTO line VALUES ('a', 1, 77)",
        "WITH moved AS (UPDATE line SET place = 9 WHERE place = 1) INSERT INTO line VALUES ('a', 1, 77)",
    ],
)
def test_keys_that_change_places_within_one_statement(engine: Engine, run: Run, statement: str) -> None:
    create_all(engine, Base)
    run("ALTER TABLE line DROP CONSTRAINT line_pkey")
    run("ALTER TABLE line ADD PRIMARY KEY (order_no, place) DEFERRABLE INITIALLY DEFERRED")
    run("INSERT INTO line VALUES ('a', 1, 10), ('a', 2, 20), ('a', 3, 30), ('b', 1, 40)")
    run(statement)
    with engine.connect() as connection:
        assert audit(connection, Line)
        rows = connection.execute(text("SELECT place, amount FROM line WHERE order_no = 'a' ORDER BY 1")).all()
    with Session(engine) as session:
        assert [(place, Line.rebuild_from_events(session, ("a", place)).amount) for place, _ in rows] == [
            tuple(row) for row in rows
        ]


def test_a_deferred_key_may_be_held_twice_in_the_middle_of_a_transaction(engine: Engine, run: Run) -> None:
    create_all(engine, Base)
    run("INSERT INTO line VALUES ('a', 1, 10), ('a', 2, 20)")
    with engine.begin() as connection:
        connection.exec_driver_sql("SET CONSTRAINTS ALL DEFERRED")
        connection.exec_driver_sql("UPDATE line SET place = 1 WHERE amount = 20")
        connection.exec_driver_sql("UPDATE line SET place = 2 WHERE amount = 10")
    with engine.begin() as connection:
        connection.exec_driver_sql("SET CONSTRAINTS ALL DEFERRED")
        connection.exec_driver_sql("INSERT INTO line VALUES ('a', 1, 30)")
        connection.exec_driver_sql("DELETE FROM line WHERE amount = 20")
        connection.exec_driver_sql("UPDATE line SET amount = 31 WHERE amount = 30")


def test_a_collation_that_takes_two_texts_for_one_key(engine: Engine, log: Log, run: Run) -> None:
    try:
        run("CREATE COLLATION caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
    except NotSupportedError:
        pytest.skip("this PostgreSQL was built without ICU")
    table = guarded(Column("id", String(9, collation="caseless"), primary_key=True), Column("n", Integer))
    create_all(engine, table.metadata)
    run("INSERT INTO thing VALUES ('ana', 1), ('bob', 2)")
    run("UPDATE thing SET id = 'ANA' WHERE id = 'aNa'")
    run("UPDATE thing SET n = 5 WHERE id = 'ana'")
    assert log.kinds("Thing", "ana") == "cd"
    assert log.kinds("Thing", "ANA") == "cu"
    run("DELETE FROM thing WHERE id = 'ana'")
    assert log.kinds("Thing", "ANA") == "cud"


class Unknown(UserDefinedType[Any]):
    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "ltree"


@pytest.mark.parametrize("type_", [Unknown, pg.JSONB])
def test_a_key_whose_equality_cannot_be_looked_up_is_refused(type_: Any) -> None:
    table = guarded(Column("id", type_, primary_key=True))
    with pytest.raises(MappingError, match=r"Thing.id is part of the key"):
        key_columns(table, table.info[INFO_KEY])
