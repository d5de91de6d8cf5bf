"""Projections over the log: equal to SQL written by hand, and only ever what was meant."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from lithair_sqla import EventSourced, EventStore, NewEvent, StorageConfig, StreamId, context, create_all, embedded
from lithair_sqla.errors import LithairError, QueryError
from lithair_sqla.query import Avg, Count, First, Last, Max, Min, Percentile, Projection, Sum, query
from lithair_sqla.types import Kind, StreamAppend

NASTY = ["'; DROP TABLE lithair_events; --", '"; DROP', "%s", ":x", "{}", "a.b.c", "\\", "x' OR '1'='1", "☃"]
DATA = "FROM lithair_events e JOIN lithair_streams s ON s.id = e.stream_id"
QUANTITY = "(payload->>'quantity')::numeric"


class Base(DeclarativeBase):
    pass


class Product(EventSourced, Base):
    __tablename__ = "product"

    id: Mapped[int] = mapped_column(primary_key=True)
    stock: Mapped[int]


@pytest.fixture(scope="module")
def shop(server: embedded.PostgresServer) -> Iterator[Engine]:
    """Sales over three months, of five products, by two people."""
    name = f"lithair_test_{uuid4().hex[:12]}"
    engine = create_engine(server.create_database(name))
    create_all(engine, Base)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO product SELECT n, 100 FROM generate_series(1, 5) n"))
        store = EventStore(connection)
        for number in range(300):
            event = NewEvent(
                "ProductSold" if number % 4 else "ProductReturned",
                payload={"quantity": number % 7 + 0.5, "color": ["red", "blue"][number % 2], "text": f"t{number}"},
                kind=Kind.NOTE,
            )
            with context(user_id="ana" if number % 3 else "bob"):
                store.append_streams([StreamAppend(StreamId("Product", f"{number % 5 + 1}"), [event])])
        connection.execute(
            text(
                "UPDATE lithair_events "
                "SET recorded_at = timestamptz '2024-01-01 00:00Z' + position * interval '7 hours'"
            )
        )
    yield engine
    engine.dispose()
    server.drop_database(name)


@pytest.fixture
def sales(shop: Engine) -> Iterator[Projection]:
    with shop.connect() as connection:
        yield query(connection).projection("sales_analytics").where_event_types(["ProductSold", "ProductReturned"])


def by_hand(projection: Projection, statement: str) -> list[tuple[Any, ...]]:
    rows = projection.connection.exec_driver_sql(statement.replace("%", "%%"))
    return [tuple(row) for row in rows]


def answer(projection: Projection) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in projection.execute()]


SOLD = "type IN ('ProductSold', 'ProductReturned')"
COUNTED = f"{DATA} WHERE {SOLD} GROUP BY 1 ORDER BY 1"


@pytest.mark.lithair_audit(False)  # noqa: FBT003 - times were moved
@pytest.mark.parametrize(
    ("build", "statement"),
    [
        (
            lambda p: p.group_by("product_id").aggregate(Sum("quantity")).window("day"),
            (
                f"SELECT date_trunc('day', recorded_at, 'UTC'), to_jsonb(key), sum({QUANTITY}) {DATA} WHERE {SOLD} "
                "GROUP BY 1, 2 ORDER BY 1, 2"
            ),
        ),
        (
            lambda p: p.date_range(date(2024, 1, 10), datetime(2024, 2, 1, tzinfo=UTC)).aggregate(Count()),
            f"SELECT count(*) {DATA} WHERE {SOLD} AND recorded_at >= '2024-01-10Z' AND recorded_at < '2024-02-01Z'",
        ),
        (
            lambda p: p.group_by("actor", "color").aggregate(
                Count("quantity"),
                Count("color", distinct=True, name="colors"),
                Avg("quantity"),
                Min("quantity"),
                Max("quantity"),
            ),
            (
                f"SELECT to_jsonb(actor), payload->'color', count(payload->'quantity'), "
                "count(DISTINCT payload->'color'), "
                f"avg({QUANTITY}), min({QUANTITY}), max({QUANTITY}) {DATA} WHERE {SOLD} GROUP BY 1, 2 ORDER BY 1, 2"
            ),
        ),
        (
            lambda p: p.group_by("type").aggregate(Percentile("quantity"), Percentile("quantity", 0.95)),
            (
                f"SELECT to_jsonb(type), percentile_cont(0.5) WITHIN GROUP (ORDER BY {QUANTITY}), "
                f"percentile_cont(0.95) WITHIN GROUP (ORDER BY {QUANTITY}) {DATA} WHERE {SOLD} GROUP BY 1 ORDER BY 1"
            ),
        ),
        (
            lambda p: p.group_by("key").aggregate(First("text"), Last("payload.quantity")),
            (
                "SELECT DISTINCT to_jsonb(key), first_value(payload->'text') OVER (PARTITION BY key "
                "ORDER BY position), first_value(payload->'quantity') OVER (PARTITION BY key ORDER BY position DESC) "
                f"{DATA} WHERE {SOLD} ORDER BY 1"
            ),
        ),
        (
            lambda p: (
                p.where("color", "red")
                .group_by("product_id")
                .aggregate(Sum("quantity"))
                .having("sum_quantity")
                .greater_than(99)
                .order_by("sum_quantity", desc=True)
                .limit(3)
            ),
            (
                f"SELECT to_jsonb(key), sum({QUANTITY}) {DATA} WHERE {SOLD} AND payload->>'color' = 'red' GROUP BY 1 "
                f"HAVING sum({QUANTITY}) > 99 ORDER BY 2 DESC LIMIT 3"
            ),
        ),
        (
            lambda p: p.aggregate(Count()).window("month", timezone="Pacific/Auckland"),
            f"SELECT date_trunc('month', recorded_at, 'Pacific/Auckland'), count(*) {COUNTED}",
        ),
        (
            lambda p: p.aggregate(Count()).window(timedelta(days=10)),
            f"SELECT date_bin('10 days', recorded_at, '2001-01-01Z'), count(*) {COUNTED}",
        ),
        (
            lambda p: p.group_by("color"),
            f"SELECT DISTINCT payload->'color' {DATA} WHERE {SOLD} ORDER BY 1",
        ),
    ],
)
def test_the_answer_is_that_of_sql_written_by_hand(sales: Projection, build: Any, statement: str) -> None:
    expected = by_hand(sales, statement)

    assert answer(build(sales)) == expected
    assert expected
    assert [tuple(row) for row in build(sales).stream(page=2)] == expected


@pytest.mark.lithair_audit(False)  # noqa: FBT003 - times were moved
def test_rows_have_the_answers_columns(sales: Projection) -> None:
    built = sales.group_by("product_id").aggregate(Sum("quantity"), Count(name="sales")).window("week").limit(1)

    [row] = built.execute()
    assert row._fields == ("window", "product_id", "sum_quantity", "sales") == tuple(built.columns)
    assert row.window == datetime(2024, 1, 1, tzinfo=UTC)
    assert row.product_id == "1"


@pytest.mark.lithair_audit(False)  # noqa: FBT003 - times were moved
def test_what_the_table_wrote_can_be_counted_too(shop: Engine) -> None:
    with Session(shop) as session:
        made = query(session).projection("stock").where_streams(Product).where_event_types("ProductCreated")
        [row] = made.aggregate(Sum("stock"), Count("data.id")).execute()

    assert tuple(row) == (500, 5)


@pytest.mark.lithair_audit(False)  # noqa: FBT003 - times were moved
def test_the_statement_says_what_it_is(sales: Projection) -> None:
    statement = str(sales.aggregate(Sum("quantity")).statement)

    assert statement.startswith("WITH sales_analytics AS")
    assert "sum_quantity" in statement


@pytest.mark.lithair_audit(False)  # noqa: FBT003 - times were moved
def test_no_events_are_no_rows(sales: Projection) -> None:
    empty = sales.date_range(date(1999, 1, 1), date(1999, 1, 2)).group_by("color").aggregate(Sum("quantity"))

    assert empty.execute() == []


def test_another_store_and_tenant(engine: Engine) -> None:
    config = StorageConfig(schema="log", prefix="shop_", tenant_id=7)
    create_all(engine, config=config)
    with engine.begin() as connection:
        EventStore(connection, config=config).append(("A", "1"), NewEvent("Sold", payload={"n": 2}))
        [row] = query(connection, config=config).projection("p").aggregate(Sum("n")).execute()
        assert row.sum_n == 2
        other = query(connection, config=config.replace(tenant_id=8)).projection("p")
        assert [tuple(found) for found in other.aggregate(Count()).execute()] == [(0,)]


@pytest.mark.lithair_audit(False)  # noqa: FBT003 - times were moved
@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda p: p.aggregate(Sum("quantty")).execute(), r"no event has a field 'quantty': did you mean 'quantity'\?"),
        (
            lambda p: p.group_by("colour").aggregate(Count()).execute(),
            r"no event has a field 'colour': did you mean 'color'\?",
        ),
        (
            lambda p: p.aggregate(Sum("text")).execute(),
            r"a field holds no numbers: invalid input syntax for type numeric",
        ),
        (
            lambda p: p.aggregate(Sum("quantity")).order_by("sum_quantty"),
            r"no column 'sum_quantty': did you mean 'sum_quantity'\?",
        ),
        (lambda p: p.having("events"), r"the answer has no column 'events'"),
        (lambda p: p.aggregate(Count(), Count()), r"two columns of the answer are called 'events': give one a name=…"),
        (lambda p: p.aggregate("quantity"), r"takes Sum\(…\), Count\(\), Avg\(…\) and the like, not 'quantity'"),
        (lambda p: p.window("dya"), r"window\('dya'\) is no span of time: did you mean 'day'\?"),
        (lambda p: p.window("day", timezone="Mars/Olympus"), r"is no time zone, such as 'Europe/Paris'"),
        (lambda p: p.window(timedelta(0)), r"takes a span above zero"),
        (lambda p: p.date_range(datetime(2024, 1, 1), None), r"has no time zone"),  # noqa: DTZ001
        (lambda p: p.date_range(date(2024, 1, 2), date(2024, 1, 1)), r"the end must be after the start"),
        (lambda p: p.date_range("2024-01-01", None), r"takes moments or dates, not '2024-01-01'"),
        (lambda p: p.where_event_types([]), r"where_event_types\(…\) takes one or more texts"),
        (lambda p: p.group_by(""), r"a field is named by a text"),
        (lambda p: p.limit(-1), r"limit\(…\) takes a whole number from 0"),
        (lambda p: p.execute(), r"projection 'sales_analytics' computes nothing yet"),
        (lambda _: Percentile("quantity", 2), r"takes a part from 0 to 1, not 2"),
        (lambda _: Count(distinct=True), r"needs a field"),
    ],
)
def test_what_has_no_meaning_is_refused(sales: Projection, ask: Any, said: str) -> None:
    with pytest.raises(QueryError, match=said):
        ask(sales)
    # The transaction goes on.
    assert sales.aggregate(Count()).execute()[0].events == 300


@pytest.mark.lithair_audit(False)  # noqa: FBT003 - times were moved
@pytest.mark.parametrize("word", NASTY)
def test_what_is_given_is_only_ever_a_name_or_a_value(shop: Engine, word: str) -> None:
    with shop.connect() as connection:
        named = query(connection).projection(word)
        assert named.aggregate(Count(name=word)).execute()[0][0] == 305
        assert named.where_event_types([word]).aggregate(Count()).execute()[0][0] == 0
        assert named.where_streams(word).aggregate(Count()).execute()[0][0] == 0
        assert named.where("color", word).aggregate(Count()).execute()[0][0] == 0
        assert named.where(word, "red").aggregate(Count()).execute()[0][0] == 0
        for ask in (
            lambda: named.group_by(word).aggregate(Count()).execute(),
            lambda: named.aggregate(Sum(word)).execute(),
            lambda: named.window(word),
            lambda: named.window("day", timezone=word),
            lambda: named.order_by(word),
        ):
            with pytest.raises(LithairError):
                ask()
        assert named.aggregate(Count()).execute()[0][0] == 305


@pytest.mark.parametrize("name", ["", "x" * 64, "a\0b", 5])
def test_a_name_that_is_none(shop: Engine, name: Any) -> None:
    with shop.connect() as connection, pytest.raises(QueryError, match="a projection's name has 1 to 63 bytes"):
        query(connection).projection(name)
