"""Columns whose values the database makes, changes or names oddly; values that change in place."""

from __future__ import annotations

import enum
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import (
    ARRAY,
    JSON,
    Column,
    Computed,
    DateTime,
    Engine,
    FetchedValue,
    ForeignKey,
    Identity,
    Integer,
    MetaData,
    Numeric,
    Sequence,
    String,
    Table,
    Text,
    TypeDecorator,
    func,
    insert,
    null,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.ext.mutable import MutableDict, MutableList
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    column_property,
    composite,
    deferred,
    mapped_column,
    synonym,
    validates,
)

from lithair_sqla import EventSourced, Persistence, audit, create_all, history, persistence, rebuild
from lithair_sqla.schema.guards import INFO_KEY, Guard
from lithair_sqla.schema.tables import LibraryTables

if TYPE_CHECKING:
    from sqlalchemy.sql.elements import ColumnElement

    from tests.integration.conftest import Log

Run = Callable[..., Any]
pytestmark = pytest.mark.filterwarnings("ignore:Computed column:sqlalchemy.exc.SAWarning")


class Base(DeclarativeBase):
    pass


class Shouted(TypeDecorator[str]):
    """Goes into the database through an SQL function, and comes back through another."""

    impl = String
    cache_ok = True

    def bind_expression(self, bindvalue: Any) -> ColumnElement[str]:
        return func.upper(bindvalue)

    def column_expression(self, column: Any) -> ColumnElement[str]:
        return func.lower(column)


class Mood(enum.Enum):
    GOOD = "good"
    BAD = "bad"


class Money(TypeDecorator[Decimal]):
    """Cents in the database, units in Python."""

    impl = Integer
    cache_ok = True

    def process_bind_param(self, value: Any, _: Any) -> Any:
        return None if value is None else int(value * 100)

    def process_result_value(self, value: Any, _: Any) -> Any:
        return None if value is None else Decimal(value) / 100


class Point:
    def __init__(self, x: int, y: int) -> None:
        self.x, self.y = x, y

    def __composite_values__(self) -> tuple[int, int]:
        return self.x, self.y

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and self.__composite_values__() == other.__composite_values__()

    __hash__ = None  # type: ignore[assignment]


class Everything(EventSourced, Base):
    __tablename__ = "everything"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    number: Mapped[int] = mapped_column(Sequence("numbers", start=100))
    made_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    changed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), onupdate=func.clock_timestamp())
    changes: Mapped[int] = mapped_column(default=0, onupdate=text("changes + 1"))
    counted: Mapped[int] = mapped_column(insert_default=func.length("four"))
    price: Mapped[Decimal] = mapped_column(Numeric(10, 2), server_default=text("1.50"))
    gross: Mapped[Decimal] = mapped_column(Numeric(12, 4), Computed("price * 1.2", persisted=True))
    double: Mapped[Decimal | None] = mapped_column(Numeric, Computed("price * 2"))
    shouted: Mapped[str | None] = mapped_column(Shouted(20))
    mood: Mapped[Mood | None]
    cents: Mapped[Decimal | None] = mapped_column(Money)
    stamped: Mapped[str | None] = mapped_column(server_default=FetchedValue(), server_onupdate=FetchedValue())
    document: Mapped[dict[str, Any] | None] = mapped_column(MutableDict.as_mutable(JSONB))
    plain: Mapped[Any] = mapped_column(JSON(none_as_null=True), nullable=True)
    tags: Mapped[list[str] | None] = mapped_column(MutableList.as_mutable(ARRAY(Text)))
    x: Mapped[int | None] = mapped_column()
    y: Mapped[int | None]
    large: Mapped[str | None] = deferred(mapped_column(Text))
    renamed: Mapped[str | None] = mapped_column("db name", key="rn", info=persistence(event="Renamed"))
    place: Mapped[Point] = composite(Point, "x", "y")
    also = synonym("shouted")
    doubled = column_property(x * 2)

    @hybrid_property
    def cheap(self) -> bool:
        return self.price < 10

    @validates("x")
    def _check(self, _: str, value: int | None) -> int | None:
        return value


@pytest.fixture
def session(engine: Engine) -> Any:
    create_all(engine, Base)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS "
            "$f$ BEGIN new.stamped := tg_op || new.changes; RETURN new; END $f$"
        )
        connection.exec_driver_sql(
            "CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON everything FOR EACH ROW EXECUTE FUNCTION stamp()"
        )
    with Session(engine) as session:
        yield session


def test_values_that_the_database_makes_are_logged_as_they_came_out(session: Session, log: Log) -> None:
    thing = Everything(shouted="quiet", mood=Mood.GOOD, cents=Decimal("1.25"), place=Point(1, 2), renamed="a")
    session.add(thing)
    session.commit()
    created = log.data()[0]
    assert created["id"] == 1
    assert created["number"] == 100
    assert (created["price"], created["gross"], created["counted"]) == (1.5, 1.8, 4)
    assert created["shouted"] == "QUIET"
    assert (created["mood"], created["cents"], created["x"], created["y"]) == ("GOOD", 125, 1, 2)
    assert (created["stamped"], created["db name"]) == ("INSERT0", "a")
    assert datetime.fromisoformat(created["made_at"]) == thing.made_at.astimezone(UTC)
    thing.price = Decimal(2)
    session.commit()
    assert set(log.data()[1]) - {"double"} == {"price", "gross", "stamped", "changes", "changed_at"}
    assert log.data()[1]["stamped"] == "UPDATE1"
    thing.renamed = "b"
    session.commit()
    rebuilt = Everything.rebuild_from_events(session, 1)
    assert (rebuilt.shouted, rebuilt.mood, rebuilt.cents, rebuilt.renamed) == ("quiet", Mood.GOOD, Decimal("1.25"), "b")
    assert (rebuilt.place, rebuilt.gross, rebuilt.cheap, rebuilt.doubled) == (Point(1, 2), Decimal("2.4"), True, 2)


def test_a_column_of_another_name_names_its_event(engine: Engine, log: Log) -> None:
    create_all(engine, Base)
    with Session(engine) as session:
        thing = Everything(x=1)
        session.add(thing)
        session.commit()
        session.execute(text("UPDATE everything SET \"db name\" = 'z'"))
        session.commit()
        assert [event.type for event in history(session, thing)] == ["EverythingCreated", "Renamed"]


def test_sql_expressions_are_logged_by_what_they_came_to(session: Session, log: Log) -> None:
    thing = Everything(x=1, price=Decimal(3))
    session.add(thing)
    session.commit()
    thing.x = Everything.x + 41
    thing.price = select(func.sum(Everything.price) * 2).scalar_subquery()
    session.commit()
    assert (log.data()[-1]["x"], log.data()[-1]["price"]) == (42, 6)
    thing.price = func.round(Everything.price / 7, 2)
    session.flush()
    session.commit()
    assert log.data()[-1]["price"] == 0.86


def test_values_that_change_in_place(session: Session, log: Log) -> None:
    thing = Everything(document={"a": 1}, tags=["x"], plain={"n": 1})
    session.add(thing)
    session.commit()
    assert thing.document is not None
    assert thing.tags is not None
    thing.document["b"] = [1, {"c": None}]
    session.commit()
    thing.tags.append("y")
    session.commit()
    thing.place = Point(5, 6)
    thing.plain = None
    session.commit()
    thing.document = None
    session.commit()
    session.execute(update(Everything).values(document=null()))
    session.commit()
    assert session.execute(text("SELECT document IS NULL FROM everything")).scalar_one()
    changes = [
        {key: data[key] for key in data if key in {"document", "tags", "x", "y", "plain"}} for data in log.data()
    ]
    assert changes[1:] == [
        {"document": {"a": 1, "b": [1, {"c": None}]}},
        {"tags": ["x", "y"]},
        {"x": 5, "y": 6, "plain": None},
        {"document": {"$lithair": None}},
        {"document": None},
    ]


def test_what_is_deferred_or_expired_is_not_needed_to_log_it(session: Session, log: Log) -> None:
    session.add(Everything(large="x" * 100_000))
    session.commit()
    thing = session.scalars(select(Everything)).one()
    session.expire(thing)
    thing.x = 9
    session.commit()
    assert set(log.data()[-1]) >= {"x"}
    assert "large" not in log.data()[-1]
    assert "id" not in log.data()[-1]


def test_a_table_whose_ids_are_always_generated_is_rebuilt_and_goes_on(
    session: Session, engine: Engine, run: Run
) -> None:
    session.add_all([Everything(x=n, price=Decimal(n)) for n in range(5)])
    session.commit()
    run("DELETE FROM everything WHERE id = 2")
    run('ALTER TABLE everything DISABLE TRIGGER "!lithair_guard"')
    run("DELETE FROM everything")
    run("ALTER TABLE everything ALTER id RESTART")
    run('ALTER TABLE everything ENABLE ALWAYS TRIGGER "!lithair_guard"')
    assert rebuild(engine, Everything)[0].written == 4
    assert run("SELECT id, gross FROM everything ORDER BY 1") == [
        (1, 0),
        (3, Decimal("2.4")),
        (4, Decimal("3.6")),
        (5, Decimal("4.8")),
    ]
    assert run("SELECT tgenabled::text FROM pg_trigger WHERE tgname = 'stamp'") == [("O",)]
    session.add(Everything())
    session.commit()
    assert run("SELECT max(id) FROM everything") == [(6,)]


def test_a_virtual_column_is_left_out_of_the_log(engine: Engine, server_version: int, log: Log, run: Run) -> None:
    if server_version < 18:
        pytest.skip("virtual generated columns came with PostgreSQL 18")
    metadata = MetaData()
    table = Table(
        "thing",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("v", Integer, Computed("id * 2", persisted=False)),
        Column("w", Numeric, Computed("id + 0.5")),
        Column("n", Integer),
    )
    table.info[INFO_KEY] = Guard(stream="Thing", persistence=Persistence(snapshot_frequency=2))
    LibraryTables.of(metadata)
    create_all(engine, metadata)
    run("INSERT INTO thing (id, n) VALUES (1, 1), (2, 1)")
    run("UPDATE thing SET n = 2")
    run("UPDATE thing SET id = 5 WHERE id = 1")
    run("DELETE FROM thing WHERE id = 2")
    assert log.data()[0] == {"id": 1, "n": 1}
    run('ALTER TABLE thing DISABLE TRIGGER "!lithair_guard"')
    run("DELETE FROM thing")
    run('ALTER TABLE thing ENABLE ALWAYS TRIGGER "!lithair_guard"')
    rebuild(engine, table)
    assert run("SELECT * FROM thing") == [(5, 10, Decimal("5.5"), 2)]


OURS = """
    key version data state kind type old new stream meta t r f s e n low drawn context origin fresh transaction record
    row log
"""
ODD = [
    *OURS.split(),
    "Upper Case",
    'quo"te',
    "apo'strophe",
    "per%cent",
    "per%(s)s",
    "back\\slash",
    "col:on",
    "{{streams}}",
    "lithair.streams",
    "$lithair$",
    "tab\tnew\nline",
    "sélection 🐘",
    "select",
    "x" * 63,
    "tableoid2",
    "a.b",
    "[0]",
    "{a,b}",
]


def test_columns_may_be_called_anything(engine: Engine, log: Log) -> None:
    metadata = MetaData()
    table = Table(
        "Od\"d %s {{x}} lithair.streams '$lithair$'",
        metadata,
        Column("lithair.id", Integer, primary_key=True),
        *(Column(name, JSONB if number % 3 else Text, key=f"c{number}") for number, name in enumerate(ODD)),
    )
    table.info[INFO_KEY] = Guard(
        stream='O\'dd "%s" {{x}} $lithair$ \\',
        persistence=Persistence(
            snapshot_frequency=2, truncate="capture", events={"It's %s {{y}}": ['quo"te', "apo'strophe"]}
        ),
    )
    LibraryTables.of(metadata)
    create_all(engine, metadata)
    create_all(engine, metadata)
    with engine.begin() as connection:
        row = {f"c{number}": {"a": name} if number % 3 else name for number, name in enumerate(ODD)}
        connection.execute(insert(table), {"lithair.id": 1, **row})
        connection.execute(insert(table), {"lithair.id": 2})
        for number, name in enumerate(ODD):
            connection.execute(update(table).values({f"c{number}": JSON.NULL if number % 3 else f"'{name}\\"}))
        connection.execute(update(table).values({table.c["lithair.id"]: table.c["lithair.id"] + 10}))
        quoted = connection.dialect.identifier_preparer.format_table(table).replace("%%", "%")
        connection.exec_driver_sql(f"TRUNCATE {quoted}".replace("%", "%%"), ())
        connection.execute(insert(table), [{"lithair.id": 3, **row}])
    found = log(key="1")
    assert found[0].data[ODD[1]] == {"a": ODD[1]}
    assert found[1 + ODD.index('quo"te')].type == "It's %s {{y}}"
    with engine.begin() as connection:
        connection.exec_driver_sql(f'ALTER TABLE {quoted} DISABLE TRIGGER "!lithair_guard"'.replace("%", "%%"), ())
        connection.execute(update(table).values(c0="damage"))
        connection.exec_driver_sql(
            f'ALTER TABLE {quoted} ENABLE ALWAYS TRIGGER "!lithair_guard"'.replace("%", "%%"), ()
        )
        assert "damage" in str(audit(connection, table))
    assert rebuild(engine, table)[0].written == 1


class Twin(EventSourced, Base):
    """A foreign key gives its column the type."""

    __tablename__ = "twin"

    id = mapped_column(ForeignKey("everything.id"), primary_key=True)
    value: Mapped[str | None]


def test_a_column_that_takes_its_type_from_a_foreign_key(session: Session, log: Log) -> None:
    session.add(Everything())
    session.flush()
    session.add(Twin(id=1, value="a"))
    session.commit()
    assert log.data("Twin") == [{"id": 1, "value": "a"}]
    assert Twin.rebuild_from_events(session, 1).value == "a"
