"""Every type's values come back from the log as they went in, byte for byte."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    ARRAY,
    JSON,
    REAL,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Double,
    Engine,
    Enum,
    Float,
    Integer,
    Interval,
    LargeBinary,
    MetaData,
    Numeric,
    PickleType,
    SmallInteger,
    String,
    Table,
    Text,
    Time,
    Uuid,
    insert,
    text,
    update,
)
from sqlalchemy import types as sqltypes
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.types import UserDefinedType

from lithair_sqla import Persistence, audit, create_all, rebuild
from lithair_sqla.codec.families import DIALECT
from lithair_sqla.errors import InvalidEventError
from lithair_sqla.schema.guards import INFO_KEY, Guard
from lithair_sqla.schema.tables import LibraryTables


class Opaque(UserDefinedType[Any]):
    """A type that the library knows nothing of."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_: Any) -> str:
        return self.name


def guarded(*columns: Column[Any], name: str = "thing", **options: Any) -> Table:
    """A table with a guard, without any class around it."""
    metadata = MetaData()
    table = Table(name, metadata, *columns)
    table.info[INFO_KEY] = Guard(stream=name.title(), persistence=Persistence(snapshot_frequency=2, **options))
    LibraryTables.of(metadata)
    return table


NAN, INFINITE = ["'NaN'", "'Infinity'", "'-Infinity'"], ["'infinity'", "'-infinity'"]

TYPES: dict[str, tuple[Any, list[str]]] = {
    "smallint": (SmallInteger, ["-32768", "32767", "0"]),
    "integer": (Integer, ["-2147483648", "2147483647"]),
    "bigint": (BigInteger, ["-9223372036854775808", "9223372036854775807", "9007199254740993"]),
    "numeric": (Numeric, ["1.0", "1.00", "1", "0", "0.000", "-0.1", "1e-400", "1e400", *NAN]),
    "numeric(12,2)": (Numeric(12, 2), ["1", "1.10", "9999999999.99", "-0.01", "'NaN'"]),
    "real": (REAL, ["0.1", "16777217", "3.4028235e38", "1e-45", "'-0'", "0", *NAN]),
    "double": (Double, ["0.1", "0.30000000000000004", "1.7976931348623157e308", "5e-324", "'-0'", "0", *NAN]),
    "float(3)": (Float(3), ["0.1", "'-0'"]),
    "text": (Text, ["''", "' '", "'a''b\"c\\d'", "E'\\n\\t\\x01'", "'ünïcödé 🐘'", "'null'", "'{}'"]),
    "varchar(9)": (String(9), ["'a  '", "'a'"]),
    "char(5)": (sqltypes.CHAR(5), ["'a'", "'ab   '", "''"]),
    "boolean": (Boolean, ["true", "false"]),
    "uuid": (Uuid, ["'00000000-0000-0000-0000-000000000000'", "gen_random_uuid()"]),
    "uuid as text": (Uuid(native_uuid=False), ["'00000000000000000000000000000000'"]),
    "bytea": (LargeBinary, ["''", "'\\x00ff5c27'", "decode(repeat('00ff', 500), 'hex')"]),
    "pickle": (PickleType, ["'\\x80'"]),
    "date": (Date, ["'0001-01-01'", "'4713-01-01 BC'", "'5874897-12-31'", "'2024-02-29'", *INFINITE]),
    "timestamp": (
        DateTime,
        ["'2024-02-29 23:59:59.999999'", "'0044-03-15 10:00 BC'", "'294276-12-31 23:59:59.999999'", *INFINITE],
    ),
    "timestamptz": (
        DateTime(timezone=True),
        ["'2024-03-31 02:30 Europe/Berlin'", "'0044-03-15 10:00+01 BC'", "'20000-01-01'", "now()", *INFINITE],
    ),
    "time": (Time, ["'00:00'", "'24:00:00'", "'23:59:59.999999'"]),
    "timetz": (Time(timezone=True), ["'12:00+14'", "'12:00:00.5-15:59:59'", "'11:00+13'"]),
    "interval": (
        Interval,
        [
            "'1 day'",
            "'24 hours'",
            "'1 mon -1 days +00:00:00.000001'",
            "'-1 year 2 mons'",
            "'-0.5 seconds'",
            "'30 days'",
            "'1 mon'",
        ],
    ),
    "enum": (Enum("sad", "o'k", 'h"appy', name="mood"), ["'sad'", "'o''k'", "'h\"appy'"]),
    "jsonb": (
        pg.JSONB,
        [
            "'null'",
            "'{}'",
            "'[]'",
            "'{\"a\": null}'",
            "'[null]'",
            "'1.0'",
            "'1.00'",
            "'\"null\"'",
            "'{\"$lithair\": 1}'",
            '\'{"$lithair": {"$lithair": null}}\'',
            '\'{"x": {"$lithair": null}}\'',
            "'123456789012345678901234567890.0000000001'",
        ],
    ),
    "json": (
        JSON,
        [
            "'null'",
            '\'{"b": 1, "a": 2, "b": 3}\'',
            "' [1,  2]'",
            "'{\"$lithair\": null}'",
            "'1e2'",
            "'\"\\u00e9\"'",
        ],
    ),
    "integer[]": (
        ARRAY(Integer),
        ["'{}'", "'{1,NULL,3}'", "'[0:1]={7,8}'", "'{{1,2},{3,4}}'", "'[2:3][0:1]={{1,2},{3,4}}'"],
    ),
    "text[]": (ARRAY(Text), ['\'{NULL,"NULL","","a,b","c\\\\d\\"e"}\'', "'[5:5]={x}'", "ARRAY['[0:1]={a}']"]),
    "double[]": (ARRAY(Double), ["'{-0,NaN,Infinity,NULL,0.1}'"]),
    "numeric[]": (ARRAY(Numeric), ["'{1.0,1.00,NaN,NULL}'"]),
    "jsonb[]": (ARRAY(pg.JSONB), ["ARRAY['null', NULL, '[1]', '{\"$lithair\": 1}']::jsonb[]"]),
    "json[]": (ARRAY(JSON), ["ARRAY['null', '{\"a\":1, \"a\":2}']::json[]"]),
    "timestamptz[]": (ARRAY(DateTime(timezone=True)), ["'{2024-01-01 00:00+02,infinity,NULL}'"]),
    "bytea[]": (ARRAY(LargeBinary), ["ARRAY['\\x00'::bytea, NULL]"]),
    "interval[]": (ARRAY(Interval), ["'{24 hours,1 day,-1 mons}'"]),
    "enum[]": (ARRAY(Enum("sad", "happy", name="mood2")), ["'{sad,NULL}'"]),
    "date[]": (ARRAY(Date), ["'{2024-01-01,4713-01-01 BC}'"]),
    "int4range": (pg.INT4RANGE, ["'[1,5)'", "'empty'", "'(,)'"]),
    "numrange": (pg.NUMRANGE, ["'[1.0,1.00]'", "'(,5]'"]),
    "tstzrange": (pg.TSTZRANGE, ["'[2024-01-01 00:00+02,infinity)'", "'(-infinity,]'"]),
    "daterange": (pg.DATERANGE, ["'[2024-01-01,2024-12-31]'", "'[,infinity]'"]),
    "tsmultirange": (pg.TSMULTIRANGE, ["'{}'", "'{[2024-01-01,2024-02-01),[2024-03-01,)}'"]),
    "money": (pg.MONEY, ["'1234567.89'", "'-0.01'"]),
    "bit(5)": (pg.BIT(5), ["B'01010'"]),
    "varbit": (pg.BIT(varying=True), ["B''", "B'0110011'"]),
    "inet": (pg.INET, ["'10.1.2.3/8'", "'10.1.2.3'", "'::1'", "'2001:db8::/32'"]),
    "cidr": (pg.CIDR, ["'10.0.0.0/8'", "'2001:db8::/32'"]),
    "macaddr": (pg.MACADDR, ["'08:00:2b:01:02:03'"]),
    "macaddr8": (pg.MACADDR8, ["'08:00:2b:01:02:03:04:05'"]),
    "tsvector": (pg.TSVECTOR, ["'a:1A fat:2B,4 c:5'", "to_tsvector('simple', 'it''s a b')"]),
    "tsquery": (pg.TSQUERY, ["'fat & (rat | ! cat)'"]),
    "oid": (pg.OID, ["4294967295"]),
    "regclass": (pg.REGCLASS, ["'pg_class'", "'thing'"]),
    "point": (Opaque("point"), ["'(1.5,-0)'", "'(NaN,Infinity)'"]),
    "polygon": (Opaque("polygon"), ["'((0,0),(1,0),(1,1))'"]),
    "xml": (Opaque("xml"), ["'<a b=\"1\">x &amp; y</a>'", '\'<?xml version="1.0" encoding="UTF-8"?><a/>\'', "'a<b/>'"]),
    "jsonpath": (Opaque("jsonpath"), ["'$.a[*] ? (@.b > 1)'"]),
    "composite": (Opaque("pair"), ["ROW(-0.0, 'a \"b\", c', '[0:0]={1}', NULL)", "ROW(NULL, NULL, NULL, 'null')"]),
    "composite[]": (ARRAY(Opaque("pair")), ["ARRAY[ROW(1, ',', NULL, '[1]')::pair, NULL]"]),
    "domain": (pg.DOMAIN("positive", Numeric(10, 2)), ["1", "1.50"]),
    "domain over jsonb": (pg.DOMAIN("document", pg.JSONB), ["'null'", "'{\"a\": 1}'"]),
    "domain over double": (pg.DOMAIN("ratio", Double), ["'-0'", "0.5"]),
}
BEFORE = {
    "composite": "CREATE TYPE pair AS (f double precision, t text, n int[], j jsonb)",
    "composite[]": "CREATE TYPE pair AS (f double precision, t text, n int[], j jsonb)",
}


def prepare(engine: Engine, kind: str) -> Table:
    """Make a table with a column of a kind, and its guard."""
    if kind == "xml":
        with engine.connect() as connection:
            if not connection.execute(
                text("SELECT count(*) FROM pg_config WHERE setting LIKE '%--with-libxml%'")
            ).scalar_one():
                pytest.skip("this PostgreSQL was built without libxml")
    if kind in BEFORE:
        with engine.begin() as connection:
            connection.execute(text(BEFORE[kind]))
    table = guarded(Column("id", Integer, primary_key=True), Column("v", TYPES[kind][0]))
    create_all(engine, table.metadata)
    return table


def literal(table: Table, value: str) -> str:
    """Give a constant its column's type; SQLAlchemy's types spell it."""
    return f"CAST({value} AS {table.c.v.type.compile(dialect=DIALECT)})"


@pytest.mark.parametrize("kind", TYPES)
def test_values_of_a_type_come_back_as_they_went_in(engine: Engine, kind: str) -> None:
    table, values = prepare(engine, kind), ["NULL", *TYPES[kind][1]]
    with engine.begin() as connection:
        for number, value in enumerate(values):
            # Each as an insert, as an update from null, and as an update from the value before.
            connection.exec_driver_sql(f"INSERT INTO thing VALUES ({number}, {literal(table, value)})")
            connection.exec_driver_sql(f"INSERT INTO thing VALUES ({number + 1000}, NULL)")
            connection.exec_driver_sql(f"UPDATE thing SET v = {literal(table, value)} WHERE id = {number + 1000}")
        connection.exec_driver_sql("INSERT INTO thing VALUES (2000, NULL)")
        for value in (*values, *reversed(values)):
            connection.exec_driver_sql(f"UPDATE thing SET v = {literal(table, value)} WHERE id = 2000")
        assert audit(connection, table)
    with engine.begin() as connection:
        before = [tuple(row) for row in connection.exec_driver_sql("SELECT id, v::text FROM thing ORDER BY id")]
        connection.exec_driver_sql('ALTER TABLE thing DISABLE TRIGGER "!lithair_guard"')
        connection.exec_driver_sql("DELETE FROM thing")
        connection.exec_driver_sql('ALTER TABLE thing ENABLE ALWAYS TRIGGER "!lithair_guard"')
    assert rebuild(engine, table)[0].written == len(before)
    with engine.connect() as connection:
        after = [tuple(row) for row in connection.exec_driver_sql("SELECT id, v::text FROM thing ORDER BY id")]
    if kind == "json":  # PostgreSQL keeps its text; the log keeps what it means
        before, after = ([(row[0], row[1] and json.loads(row[1])) for row in rows] for rows in (before, after))
    assert after == before


@pytest.mark.parametrize("kind", ["double", "timestamptz", "interval", "bytea", "tstzrange", "money", "date"])
def test_the_settings_of_a_session_change_neither_what_is_logged_nor_what_is_read(engine: Engine, kind: str) -> None:
    table = prepare(engine, kind)
    outlandish = {
        "TimeZone": "Asia/Kathmandu",
        "DateStyle": "German",
        "IntervalStyle": "sql_standard",
        "bytea_output": "escape",
        "extra_float_digits": "-15",
    }
    with engine.begin() as connection:
        for number, value in enumerate(TYPES[kind][1]):
            connection.exec_driver_sql(f"INSERT INTO thing VALUES ({number}, {literal(table, value)})")
    with engine.begin() as connection:
        for name, value in outlandish.items():
            connection.exec_driver_sql(f"SET LOCAL {name} = '{value}'")
        for number, value in enumerate(TYPES[kind][1]):
            connection.exec_driver_sql(f"INSERT INTO thing VALUES ({number + 100}, {literal(table, value)})")
        assert audit(connection, table)
        for name, value in outlandish.items():
            shown = connection.exec_driver_sql(f"SHOW {name}").scalar_one()
            assert shown.startswith(value), "an audit leaves the session's settings as they were"
    with engine.begin() as connection:
        data = [row[0] for row in connection.exec_driver_sql("SELECT data->'v' FROM lithair_events ORDER BY position")]
    values = len(TYPES[kind][1])
    if kind == "interval":  # sql_standard reads "-1 year 2 mons" as minus both
        del data[3 + values], data[3]
        values -= 1
    if kind != "timestamptz":  # "now()" and the zone of '20000-01-01' are the session's own affair
        assert data[:values] == data[values:]


def test_hstore_comes_back(engine: Engine, extension: Callable[[str], None]) -> None:
    extension("hstore")
    table = guarded(Column("id", Integer, primary_key=True), Column("v", pg.HSTORE), Column("a", ARRAY(pg.HSTORE)))
    create_all(engine, table.metadata)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            'INSERT INTO thing VALUES (1, \'a=>NULL, "b c"=>"x\\"y", n=>1\', ARRAY[\'a=>1\'::hstore])'
        )
        connection.exec_driver_sql("UPDATE thing SET v = ''")
        connection.exec_driver_sql("UPDATE thing SET v = NULL, a = '{}'")
        connection.exec_driver_sql("UPDATE thing SET v = v || 'a=>1'")


@pytest.mark.parametrize(
    ("type_", "value", "reason"),
    [
        (JSON, '{"a": "\\u0000"}', "cannot store"),
        (JSON, '"\\ud800"', "JSON"),
        (JSON, "1e1000000", "numeric"),
    ],
)
def test_a_json_value_that_jsonb_cannot_hold_is_refused_and_nothing_is_written(
    engine: Engine, type_: Any, value: str, reason: str
) -> None:
    table = guarded(Column("id", Integer, primary_key=True), Column("v", type_), Column("n", Integer))
    create_all(engine, table.metadata)
    with engine.begin() as connection:
        connection.execute(insert(table), {"id": 1, "v": {}, "n": 1})

    def two_updates() -> None:
        with engine.begin() as connection:
            connection.execute(update(table).values(n=2))
            connection.execute(text("UPDATE thing SET v = CAST(:value AS json)"), {"value": value})

    with pytest.raises(InvalidEventError, match=reason) as caught:
        two_updates()
    assert "thing" in str(caught.value)
    assert caught.value.__cause__ is not None
    with engine.connect() as connection:
        assert connection.execute(text("SELECT n FROM thing")).scalar_one() == 1
        assert connection.execute(text("SELECT count(*) FROM lithair_events")).scalar_one() == 1


def test_more_than_fifty_columns_of_special_types(engine: Engine) -> None:
    special = [Column(f"c{number}", pg.JSONB if number % 2 else Double) for number in range(120)]
    plain = [Column(f"p{number}", Text) for number in range(80)]
    table = guarded(Column("id", Integer, primary_key=True), *special, *plain)
    create_all(engine, table.metadata)
    with engine.begin() as connection:
        row = {column.name: {"a": 1} if isinstance(column.type, pg.JSONB) else -0.0 for column in special}
        connection.execute(insert(table), {"id": 1, **row, **{column.name: "x" for column in plain}})
        connection.execute(update(table).values({column.name: None for column in special[:70]}))
        connection.execute(update(table).values(id=2))


# PostgreSQL knows one NaN; the sign that a program may give it is no value of its own.
FLOATS = st.floats(allow_nan=False) | st.just(math.nan)

JSONS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "$lithair", "", "null"]), inner, max_size=2)
    ),
    max_leaves=5,
)
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=10)
VALUES: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "i": (BigInteger, st.integers(-(2**63), 2**63 - 1)),
    "n": (Numeric, st.decimals(allow_nan=False, allow_infinity=True)),
    "d": (Double, FLOATS),
    "r": (REAL, st.floats(width=32, allow_nan=False) | st.just(math.nan)),
    "t": (Text, TEXTS),
    "b": (LargeBinary, st.binary(max_size=10)),
    "j": (pg.JSONB(none_as_null=False), JSONS),
    "js": (JSON(none_as_null=True), JSONS),
    "at": (DateTime(timezone=True), st.datetimes(timezones=st.timezones())),
    "day": (Date, st.dates()),
    "hm": (Time, st.times()),
    "iv": (Interval, st.timedeltas()),
    "ti": (ARRAY(Text), st.lists(TEXTS | st.none(), max_size=3)),
    "da": (ARRAY(Double), st.lists(FLOATS | st.none(), max_size=3)),
    "u": (Uuid, st.uuids()),
    "o": (Boolean, st.booleans()),
}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_row_comes_back_from_its_events(data: st.DataObject, any_row: tuple[Engine, Table]) -> None:
    engine, table = any_row
    values = {name: strategy | st.none() for name, (_, strategy) in VALUES.items()}
    rows = st.fixed_dictionaries(values)
    changes = st.lists(st.fixed_dictionaries({}, optional=values).filter(bool), max_size=3)
    with engine.begin() as connection:
        key = connection.execute(insert(table).returning(table.c.id), data.draw(rows)).scalar_one()
        for change in data.draw(changes):
            connection.execute(update(table).where(table.c.id == key).values(change))
        report = audit(connection, table)
        assert report, str(report)


@pytest.fixture
def any_row(engine: Engine) -> tuple[Engine, Table]:
    """A table of many types, shared by all examples of a test."""
    columns = [Column(name, type_) for name, (type_, _) in VALUES.items()]
    table = guarded(Column("id", Integer, primary_key=True), *columns)
    create_all(engine, table.metadata)
    return engine, table
