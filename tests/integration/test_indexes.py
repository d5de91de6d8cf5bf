"""The indexes that options ask for: what is made, that queries use it (EXPLAIN on 200,000 rows), what is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from math import asin, cos, radians, sin, sqrt
from typing import Any
from uuid import uuid4

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import (
    Column,
    DateTime,
    Engine,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    inspect,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import INT4RANGE
from sqlalchemy.dialects.postgresql import dialect as postgresql
from sqlalchemy.ext.asyncio import AsyncAttrs
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, aliased, mapped_column
from sqlalchemy.schema import CreateIndex

from lithair_sqla import EventSourced, Lithair, Persistence, StorageConfig, audit, create_all, embedded, enrol
from lithair_sqla.errors import OptionError
from lithair_sqla.options import index, persistence
from lithair_sqla.query import Point, distance_km, matches, near

ROWS = 200_000
WRONG: Any = b"Paris"
PARIS = (48.8566, 2.3522)
DAY = datetime(2024, 1, 10, tzinfo=UTC)


class Base(DeclarativeBase):
    pass


class Product(EventSourced, Base):
    __tablename__ = "product"
    __persistence__ = Persistence(snapshot_frequency=0)

    id: Mapped[int] = mapped_column(primary_key=True, info=index("btree", unique=True))
    code: Mapped[str] = mapped_column(info=index("btree", unique=True))
    sku: Mapped[str] = mapped_column(info=index("hash"))
    name: Mapped[str] = mapped_column(info=index("hash", fields=["name", "category"]))
    category: Mapped[str]
    price: Mapped[int] = mapped_column(info=index("range"))
    stock: Mapped[int] = mapped_column(info=persistence(indexed=True))
    made_at: Mapped[Any] = mapped_column(DateTime(timezone=True), info=index("range", optimize_for="time_series"))
    description: Mapped[str | None] = mapped_column(info=index("full_text", language="fr"))
    title: Mapped[str | None] = mapped_column(info=index("full_text", fields=["title", "body"], language="en"))
    body: Mapped[str | None]
    location: Mapped[tuple[float, float] | None] = mapped_column(Point, info=index("geo_spatial", precision="high"))


TABLE: Any = Product.__table__

FILL = f"""\
INSERT INTO product (id, code, sku, name, category, price, stock, made_at, description, title, body, location)
SELECT n, 'c' || n, 's' || n, 'name' || n % 20000, 'category' || n % 7, n, n % 50000,
    timestamptz '2024-01-01 00:00Z' + n * interval '1 minute',
    CASE WHEN n % 1000 = 0 THEN 'Les chevaux galopent ' || n ELSE 'rien de spécial ' || n END,
    CASE WHEN n % 1000 = 1 THEN 'running shoes' ELSE 'title ' || n END,
    CASE WHEN n % 1000 = 2 THEN 'he runs' ELSE NULL END,
    point(((n * 7919) % 360000) / 1000.0 - 180, ((n * 104729) % 180000) / 1000.0 - 90)
  FROM generate_series(1::bigint, {ROWS}) n"""


@pytest.fixture(scope="module")
def shop(server: embedded.PostgresServer) -> Iterator[Engine]:
    """200,000 products, made once."""
    name = f"lithair_test_{uuid4().hex[:12]}"
    engine = create_engine(server.create_database(name))
    create_all(engine, Base)
    with engine.begin() as connection:
        # Events of so many rows are not what is looked at here.
        connection.execute(text('ALTER TABLE product DISABLE TRIGGER "!lithair_guard"'))
        connection.execute(text(FILL))
        connection.execute(text('ALTER TABLE product ENABLE ALWAYS TRIGGER "!lithair_guard"'))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM (ANALYZE) product"))
    yield engine
    engine.dispose()
    server.drop_database(name)


@pytest.fixture(scope="module")
def places(shop: Engine) -> dict[int, tuple[float, float]]:
    """Every tenth product's place."""
    with shop.connect() as connection:
        rows = connection.execute(select(Product.id, Product.location).where(Product.id % 10 == 0))
        return {id_: place for id_, place in rows if place is not None}


def plan_of(engine: Engine, statement: Any) -> str:
    """The plan of the statement as SQLAlchemy sends it, parameters bound, once it is generic."""
    compiled = statement.compile(dialect=engine.dialect)
    with engine.connect() as connection:
        connection.execute(text("SET plan_cache_mode = force_generic_plan"))
        connection.execute(text("SET max_parallel_workers_per_gather = 0"))
        rows = connection.exec_driver_sql(f"EXPLAIN {compiled}", compiled.construct_params()).scalars()
        return "\n".join(rows)


def name_of(column: str) -> str:
    found = [str(item.name) for item in TABLE.indexes if str(item.name).startswith(f"ix_product_{column}_")]
    assert len(found) == 1
    return found[0]


@pytest.mark.lithair_audit(False)  # noqa: FBT003 - filled past the guard
@pytest.mark.parametrize(
    ("column", "statement", "found"),
    [
        ("code", select(Product.id).where(Product.code == "c77"), 1),
        ("sku", select(Product.id).where(Product.sku == "s77"), 1),
        ("name", select(Product.id).where(Product.name == "name77", Product.category == "category0"), 2),
        ("price", select(Product.id).where(Product.price.between(100, 140)), 41),
        ("stock", select(Product.id).where(Product.stock == 77), 4),
        ("made_at", select(Product.id).where(Product.made_at.between(DAY, DAY + timedelta(minutes=59))), 60),
        ("description", select(Product.id).where(matches(Product.description, "cheval")), 200),
        ("description", select(Product.id).where(matches(Product.description, "cheval -galopent")), 0),
        ("title", select(Product.id).where(matches(Product.title, "run")), 400),
        ("location", select(Product.id).where(near(Product.location, PARIS, 100)), None),
    ],
)
def test_a_query_uses_the_index_of_its_option(shop: Engine, column: str, statement: Any, found: int | None) -> None:
    assert name_of(column) in plan_of(shop, statement)
    with shop.connect() as connection:
        answer = connection.execute(statement).all()
    assert found is None or len(answer) == found


@pytest.mark.lithair_audit(False)  # noqa: FBT003 - filled past the guard
def test_an_alias_uses_it_too(shop: Engine) -> None:
    other = aliased(Product)

    assert name_of("title") in plan_of(shop, select(other.id).where(matches(other.title, "run")))
    assert name_of("location") in plan_of(shop, select(other.id).where(near(other.location, PARIS, 100)))


def kilometres(one: tuple[float, float], other: tuple[float, float] | None) -> float:
    assert other is not None
    (a, b), (c, d) = ((radians(x), radians(y)) for x, y in (one, other))
    return 2 * 6371.0088 * asin(min(1, sqrt(sin((c - a) / 2) ** 2 + cos(a) * cos(c) * sin((d - b) / 2) ** 2)))


@pytest.mark.lithair_audit(False)  # noqa: FBT003 - filled past the guard
@pytest.mark.parametrize("place", [PARIS, (0.0, 180.0), (10.0, -179.99), (-17.0, 179.5), (89.9, 12.0), (-90.0, 0.0)])
@pytest.mark.parametrize("km", [1, 150, 2000, 30_000])
def test_near_finds_what_measuring_every_row_finds(
    shop: Engine, places: dict[int, tuple[float, float]], place: tuple[float, float], km: float
) -> None:
    with shop.connect() as connection:
        found = connection.scalars(
            select(Product.id).where(near(Product.location, place, km), Product.id % 10 == 0)
        ).all()

    assert sorted(found) == sorted(id_ for id_, there in places.items() if kilometres(place, there) <= km)
    assert found or km < 2000


@pytest.mark.lithair_audit(False)  # noqa: FBT003 - filled past the guard
def test_places_can_be_sorted_by_distance(shop: Engine) -> None:
    distance = distance_km(Product.location, PARIS)
    with shop.connect() as connection:
        rows = connection.execute(
            select(Product.location, distance).where(near(Product.location, PARIS, 300)).order_by(distance)
        ).all()

    assert rows
    assert [row[1] for row in rows] == pytest.approx([kilometres(PARIS, row[0]) for row in rows])
    assert [row[1] for row in rows] == sorted(row[1] for row in rows)


# ------------------------------------------------------------------------------------------------ what is made


def ddl(table: Table) -> list[str]:
    made = sorted(table.indexes, key=lambda item: str(item.name))
    return [re.sub(r"_[0-9a-f]{6}\b", "_…", str(CreateIndex(item).compile(dialect=postgresql()))) for item in made]  # type: ignore[no-untyped-call]


def test_every_option_makes_an_ordinary_index() -> None:
    assert ddl(TABLE) == [
        "CREATE UNIQUE INDEX ix_product_code_… ON product (code)",
        "CREATE INDEX ix_product_description_… ON product USING gin (to_tsvector('french'::regconfig, description))",
        "CREATE INDEX ix_product_location_… ON product USING gist (location)",
        "CREATE INDEX ix_product_made_at_… ON product USING brin (made_at) WITH (autosummarize = on)",
        "CREATE INDEX ix_product_name_… ON product (name, category)",
        "CREATE INDEX ix_product_price_… ON product (price)",
        "CREATE INDEX ix_product_sku_… ON product USING hash (sku)",
        "CREATE INDEX ix_product_stock_… ON product (stock)",
        (
            "CREATE INDEX ix_product_title_… ON product USING gin ((setweight(to_tsvector('english'::regconfig, "
            "coalesce(title, '')), 'A'::\"char\") || setweight(to_tsvector('english'::regconfig, coalesce(body, '')), "
            "'B'::\"char\")))"
        ),
    ]


def test_an_option_that_changes_makes_another_name() -> None:
    names = []
    for language in ("fr", "en", None):
        table = Table("t", MetaData(), Column("id", Integer, primary_key=True), Column("words", Text))
        enrol(table, columns={"words": index("full_text", language=language)})
        names += [str(item.name) for item in table.indexes]

    assert len(set(names)) == 3


def test_the_same_declaration_has_the_same_name_in_every_schema() -> None:
    names = set()
    for schema in (None, "elsewhere"):
        table = Table("t", MetaData(), Column("id", Integer, primary_key=True), Column("n", Integer), schema=schema)
        enrol(table, columns={"n": index("range", optimize_for="time_series")})
        names |= {str(item.name) for item in table.indexes}

    assert len(names) == 1


def test_a_long_name_is_cut() -> None:
    table = Table("é" * 30, MetaData(), Column("id", Integer, primary_key=True), Column("ü" * 30, Integer))
    enrol(table, columns={"ü" * 30: index("hash")})

    [made] = table.indexes
    assert len(str(made.name).encode()) <= 63


def test_an_index_that_is_there_already_serves() -> None:
    class Own(DeclarativeBase):
        pass

    class Thing(EventSourced, Own):
        __tablename__ = "thing"
        id: Mapped[int] = mapped_column(primary_key=True, info=persistence(indexed=True))
        code: Mapped[str] = mapped_column(unique=True, info=index("btree", unique=True))
        name: Mapped[str] = mapped_column(index=True, info=persistence(indexed=True))
        size: Mapped[int] = mapped_column(info=index("btree"))
        __table_args__ = (Index("mine", "size"),)

    assert sorted(str(item.name) for item in Thing.__table__.indexes) == ["ix_thing_name", "mine"]  # type: ignore[attr-defined]


def test_other_ways_to_say_it() -> None:
    class Own(AsyncAttrs, DeclarativeBase):
        pass

    class Thing(EventSourced, Own):
        __tablename__ = "thing"
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]
        span: Mapped[Any] = mapped_column("the_span", INT4RANGE)
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "thing"}  # noqa: RUF012 - SQLAlchemy's
        __lithair_columns__ = {"span": index("range")}  # noqa: RUF012 - ours

    class Special(Thing):
        __mapper_args__ = {"polymorphic_identity": "special"}  # noqa: RUF012 - SQLAlchemy's
        extra: Mapped[str | None] = mapped_column(String(20), info=index("hash"))

    made = ddl(Thing.__table__)  # type: ignore[arg-type]
    assert made == [
        "CREATE INDEX ix_thing_extra_… ON thing USING hash (extra)",
        "CREATE INDEX ix_thing_the_span_… ON thing USING gist (the_span)",
    ]
    assert Special.__table__ is Thing.__table__


def test_indexes_of_words_can_be_switched_off(engine: Engine) -> None:
    class Own(DeclarativeBase):
        pass

    class Thing(EventSourced, Own):
        __tablename__ = "thing"
        id: Mapped[int] = mapped_column(primary_key=True)
        words: Mapped[str] = mapped_column(info=index("full_text"))
        size: Mapped[int] = mapped_column(info=index("btree"))

    lithair = Lithair(Own, StorageConfig(full_text_index_enabled=False))

    class Later(EventSourced, Own):
        __tablename__ = "later"
        id: Mapped[int] = mapped_column(primary_key=True)
        words: Mapped[str] = mapped_column(info=index("full_text"))

    lithair.create_all(engine)
    assert [item["name"][:13] for item in inspect(engine).get_indexes("thing")] == ["ix_thing_size"]  # type: ignore[index]
    assert inspect(engine).get_indexes("later") == []
    Lithair(Own, StorageConfig())
    assert len(Thing.__table__.indexes) == 2  # type: ignore[attr-defined]
    assert len(Later.__table__.indexes) == 1  # type: ignore[attr-defined]


def test_a_place_comes_back_as_it_went_in(engine: Engine) -> None:
    create_all(engine, Base)
    with Session(engine) as session:
        common = {"name": "n", "category": "c", "price": 1, "stock": 1, "made_at": DAY}
        places = [PARIS, (-90.0, 180.0), (1e-7, -0.1), None]
        for number, place in enumerate(places):
            session.add(Product(id=number, code=f"{number}", sku="s", location=place, **common))
        session.commit()
        assert list(session.scalars(select(Product.location).order_by(Product.id))) == places
        assert Product.rebuild_from_events(session, 0).location == PARIS
    assert audit(engine, Product)


@pytest.mark.filterwarnings("ignore:Did not recognize type 'point'")
def test_alembic_finds_nothing_to_change(engine: Engine) -> None:
    create_all(engine, Base)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        differences = compare_metadata(context, Base.metadata)

    assert [item for item in differences if "product" in repr(item)] == []


# ------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"words": index("hash", fields=["words", "nothing"])}, r"names 'nothing', which is not a column of t"),
        ({"words": index("hash", fields=["size"])}, r"t\.words: index\(fields=…\) leaves out 'words'"),
        ({"size": index("full_text")}, r"t\.size: index\('full_text'\) is for texts, and size is Integer"),
        ({"words": index("full_text", language="xx")}, r"no text search configuration for language 'xx'"),
        ({"words": index("geo_spatial")}, r"t\.words: index\('geo_spatial'\) stands on one column of type Point"),
    ],
)
def test_an_index_that_cannot_be(columns: Any, said: str) -> None:
    table = Table(
        "t", MetaData(), Column("id", Integer, primary_key=True), Column("words", Text), Column("size", Integer)
    )

    with pytest.raises(OptionError, match=said):
        enrol(table, columns=columns)


@pytest.mark.parametrize("option", [persistence(indexed=True), index("btree"), index("full_text")])
def test_an_encrypted_column_has_no_such_index(option: Any) -> None:
    class Own(DeclarativeBase):
        pass

    with pytest.raises(OptionError, match=r"Secret\.name is encrypted, and an index on ciphertext finds nothing"):

        class Secret(EventSourced, Own):
            __tablename__ = "secret"
            id: Mapped[int] = mapped_column(primary_key=True)
            name: Mapped[str] = mapped_column(info=persistence(encrypted=True, searchable=True) | option)


def test_nor_does_one_of_several_columns() -> None:
    class Own(DeclarativeBase):
        pass

    with pytest.raises(OptionError, match=r"Secret\.city: index\(fields=…\) names 'name', which is encrypted"):

        class Secret(EventSourced, Own):
            __tablename__ = "secret"
            id: Mapped[int] = mapped_column(primary_key=True)
            name: Mapped[str] = mapped_column(info=persistence(encrypted=True))
            city: Mapped[str] = mapped_column(info=index("btree", fields=["city", "name"]))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: matches(Product.stock, "x"), r"matches\(product\.stock, …\) is for texts, not for Integer"),
        (lambda: matches(Product.description, WRONG), r"takes words as one text, not b'Paris'"),
        (lambda: matches(Product.description, "x", language="fr'); --"), r"index\(language=…\) must be a language"),
        (lambda: matches("description", "x"), r"a column is needed, such as Product\.description, not 'description'"),
        (lambda: near(Product.stock, PARIS, 1), r"near\(product\.stock, …\) is for places \(type Point\)"),
        (lambda: near(Product.location, (91, 0), 1), r"within ±90 and ±180 degrees, not \(91, 0\)"),
        (lambda: near(Product.location, WRONG, 1), r"a place is \(latitude, longitude\) in degrees, not b'Paris'"),
        (lambda: near(Product.location, PARIS, 0), r"takes a distance above 0, not 0"),
        (lambda: near(Product.location, PARIS, float("nan")), r"takes a distance above 0"),
    ],
)
def test_what_has_no_meaning_is_refused(call: Any, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        call()


@pytest.mark.lithair_audit(False)  # noqa: FBT003 - filled past the guard
@pytest.mark.parametrize("words", ["'); DROP TABLE product; --", "%s :x", "\\", '"', "' OR 1=1", "☃"])
def test_words_are_only_ever_words(shop: Engine, words: str) -> None:
    with shop.connect() as connection:
        assert connection.execute(select(Product.id).where(matches(Product.description, words))).all() == []
