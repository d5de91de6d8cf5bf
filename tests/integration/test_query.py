"""The query builder and the finders: the answers of hand-written SQLAlchemy, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, create_engine, event, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from lithair_sqla import EventSourced, Lithair, Persistence, as_of, create_all, embedded
from lithair_sqla.codec.sealing import DataKey, MemoryKeyRing
from lithair_sqla.errors import LithairError, MappingError, QueryError
from lithair_sqla.options import index, persistence
from lithair_sqla.query import ModelQuery, Point, query

NASTY = ["'; DROP TABLE product; --", "price; --", "price DESC", "%s", ":x", "__class__", "", 'na"me']


class Base(DeclarativeBase):
    pass


class Product(EventSourced, Base):
    __tablename__ = "product"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    price: Mapped[Decimal]
    active: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime] = mapped_column(default=lambda: datetime.now(UTC).replace(tzinfo=None))
    note: Mapped[str | None] = mapped_column(info=index("full_text", language="fr"))
    place: Mapped[tuple[float, float] | None] = mapped_column(Point)
    secret: Mapped[str | None] = mapped_column(info=persistence(encrypted=True))
    code: Mapped[str | None] = mapped_column(info=persistence(encrypted=True, searchable=True))

    def find_by_name(self) -> str:  # the user's own
        return self.name


class Renamed(EventSourced, Base):
    __tablename__ = "renamed"
    __persistence__ = Persistence(name="Thing")

    id: Mapped[int] = mapped_column("the_id", primary_key=True)


def fill(engine: Engine) -> None:
    Lithair(Base, keys=MemoryKeyRing(DataKey(1, b"a" * 32))).create_all(engine)
    with Session(engine) as session:
        session.add_all(
            Product(
                id=number,
                name=f"{'tea' if number % 2 else 'coffee'} {number}",
                price=Decimal(number) / 2,
                note="des chevaux" if number == 3 else None,
                place=(48.85, 2.35) if number == 4 else None,
                code=f"c{number}",
                created_at=datetime(2024, 1, number),  # noqa: DTZ001 - a column without a zone
            )
            for number in range(1, 11)
        )
        session.commit()


@pytest.fixture(scope="module")
def shop(server: embedded.PostgresServer) -> Iterator[Engine]:
    """Ten products, only ever read."""
    name = f"lithair_test_{uuid4().hex[:12]}"
    engine = create_engine(server.create_database(name))
    fill(engine)
    yield engine
    engine.dispose()
    server.drop_database(name)


@pytest.fixture
def session(shop: Engine) -> Iterator[Session]:
    with Session(shop) as made:
        yield made


def ids(found: Any) -> list[int]:
    return [item.id for item in found]


def test_the_seeds_query(session: Session) -> None:
    found = (
        Lithair(Base)
        .query(session)
        .stream_type("Product")
        .where_field("price")
        .between(1, Decimal("3.5"))
        .order_by("created_at", desc=True)
        .limit(100)
        .execute()
    )

    assert ids(found) == [7, 6, 5, 4, 3, 2]


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda q: q.where_field("name").equals("tea 3"), [3]),
        (lambda q: q.where_field("note").equals(None), [1, 2, 4, 5, 6, 7, 8, 9, 10]),
        (lambda q: q.where_field("note").is_null().limit(2), [1, 2]),
        (lambda q: q.where_field("note").not_equals(None), [3]),
        (lambda q: q.where_field("id").not_equals(1).limit(1), [2]),
        (lambda q: q.where_field("price").less_than(1), [1]),
        (lambda q: q.where_field("price").at_most(1), [1, 2]),
        (lambda q: q.where_field("price").greater_than(4.5), [10]),
        (lambda q: q.where_field("price").at_least(Decimal("4.5")), [9, 10]),
        (lambda q: q.where_field("id").in_([3, 5, 99]), [3, 5]),
        (lambda q: q.where_field("id").in_([]), []),
        (lambda q: q.where_field("name").starts_with("tea 1"), [1]),
        (lambda q: q.where_field("name").starts_with("t%"), []),
        (lambda q: q.where_field("note").matches("cheval"), [3]),
        (lambda q: q.where_field("place").near((48.86, 2.35), 5), [4]),
        (lambda q: q.where_field("code").equals("c5"), [5]),
        (lambda q: q.where(Product.id > 8), [9, 10]),
        (lambda q: q.offset(8), [9, 10]),
        (lambda q: q.where_field("active").equals(False), []),  # noqa: FBT003
        (lambda q: q.where_field("created_at").between(datetime(2024, 1, 2), datetime(2024, 1, 3)), [2, 3]),  # noqa: DTZ001
    ],
)
def test_every_verb(session: Session, build: Any, expected: list[int]) -> None:
    built = build(query(session).stream_type(Product)).order_by("id")

    assert ids(built.execute()) == expected
    assert built.count() == len(expected)
    assert ids(built.stream(page=2)) == expected
    first = built.first()
    assert (first.id if first else None) == (expected[0] if expected else None)


def test_a_query_is_never_changed(session: Session) -> None:
    whole = query(session).stream_type(Product)
    tea = whole.where_field("name").starts_with("tea")

    assert (whole.count(), tea.count(), tea.limit(2).count(), tea.count()) == (10, 5, 2, 5)
    with pytest.raises(FrozenInstanceError):
        tea.most = 5  # type: ignore[misc]


def test_the_statement_is_an_ordinary_select(session: Session) -> None:
    built = query(session).stream_type(Product).where_field("price").between(1, 2).order_by("price")

    expected = select(Product).where(Product.price.between(1, 2)).order_by(Product.price.asc())
    assert str(built.statement) == str(expected)
    assert ids(session.scalars(built.statement.where(Product.id > 3))) == [4]


def test_the_past_can_be_asked(engine: Engine) -> None:
    fill(engine)
    with Session(engine) as session:
        session.delete(session.get_one(Product, 1))
        session.commit()

        with as_of(session, 10) as past:
            assert query(past).stream_type(Product).count() == 10
        assert query(session).stream_type(Product).count() == 9


def test_a_class_is_found_by_the_name_of_its_streams(session: Session) -> None:
    asked = Lithair(Base).query(session)
    assert asked.stream_type("Thing").model is Renamed
    assert asked.stream_type("Thing").where_field("id").equals(1).execute() == []


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda q: q.stream_type("Prodcut"), r"no class has streams named 'Prodcut': did you mean 'Product'\?"),
        (
            lambda q: q.stream_type(Product).where_field("prise"),
            r"Product has no field 'prise': did you mean 'price'\?",
        ),
        (lambda q: q.stream_type(Product).order_by("metadata"), r"Product has no field 'metadata'"),
        (lambda q: q.stream_type(Product).where_field("price").equals("x"), r"Product\.price takes Decimal, not 'x'"),
        (lambda q: q.stream_type(Product).where_field("id").equals("1"), r"Product\.id takes int, not '1'"),
        (lambda q: q.stream_type(Product).where_field("id").equals(True), r"Product\.id takes int, not True"),  # noqa: FBT003
        (lambda q: q.stream_type(Product).where_field("name").in_("tea"), r"in_\(…\) takes several values"),
        (lambda q: q.stream_type(Product).where_field("id").in_(["1"]), r"Product\.id takes int"),
        (lambda q: q.stream_type(Product).where_field("id").less_than(None), r"nothing is below, above or among NULL"),
        (lambda q: q.stream_type(Product).limit(-1), r"limit\(…\) takes a whole number from 0, not -1"),
        (lambda q: q.stream_type(Product).limit("5"), r"limit\(…\) takes a whole number"),
        (lambda q: q.stream_type(Product).offset(1.5), r"offset\(…\) takes a whole number"),
    ],
)
def test_what_is_not_there_is_refused(session: Session, ask: Any, said: str) -> None:
    with pytest.raises(QueryError, match=said):
        ask(Lithair(Base).query(session))


def test_a_class_without_events_is_refused(session: Session) -> None:
    with pytest.raises(MappingError, match="int is not event-sourced"):
        query(session).stream_type(int)
    with pytest.raises(QueryError, match="objects come from a session"):
        query(session.connection()).stream_type(Product)


@pytest.mark.parametrize("text", NASTY)
def test_what_is_given_is_only_ever_a_name_or_a_value(session: Session, text: str) -> None:
    asked = query(session).stream_type(Product)
    for build in (query(session).stream_type, asked.where_field, asked.order_by):
        with pytest.raises(LithairError):
            build(text)
    assert asked.where_field("name").equals(text).execute() == []
    assert asked.where_field("name").in_([text]).execute() == []
    assert len(asked.where_field("name").starts_with(text).execute()) == (10 if text == "" else 0)
    assert asked.count() == 10


# ---------------------------------------------------------------------------------------------------- finders


def test_finders(session: Session) -> None:
    assert ids(Product.find_by_price(session, Decimal("1.5"))) == [3]  # type: ignore[attr-defined]
    assert ids(Product.find_by_price_range(session, 1, 2)) == [2, 3, 4]  # type: ignore[attr-defined]
    assert ids(Product.find_by_price_range(session, 1, 2, limit=1)) == [2]  # type: ignore[attr-defined]
    assert ids(Product.find_by_code(session, "c5")) == [5]  # type: ignore[attr-defined]
    assert ids(Product.find_by_active(session, True)) == list(range(1, 11))  # type: ignore[attr-defined]  # noqa: FBT003


def test_there_are_none_where_they_would_collide_or_have_no_meaning() -> None:
    assert Product(name="mine").find_by_name() == "mine"
    assert not hasattr(Product, "find_by_secret")
    for column in ("code", "active", "place"):
        assert not hasattr(Product, f"find_by_{column}_range")
    assert hasattr(Product, "find_by_name_range")
    assert Product.find_by_price_range.__name__ == "find_by_price_range"  # type: ignore[attr-defined]


def test_a_subclass_finds_its_own(engine: Engine) -> None:
    class Own(DeclarativeBase):
        pass

    class Animal(EventSourced, Own):
        __tablename__ = "animal"
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}  # noqa: RUF012 - SQLAlchemy's
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]
        name: Mapped[str]

    class Dog(Animal):
        __mapper_args__ = {"polymorphic_identity": "dog"}  # noqa: RUF012 - SQLAlchemy's

    create_all(engine, Own)
    with Session(engine) as session:
        session.add_all([Animal(id=1, name="Rex"), Dog(id=2, name="Rex")])
        session.commit()
        assert ids(Animal.find_by_name(session, "Rex")) == [1, 2]  # type: ignore[attr-defined]
        assert ids(Dog.find_by_name(session, "Rex")) == [2]  # type: ignore[attr-defined]


def test_the_finders_are_made_without_configuring_the_mappers() -> None:
    configured = []

    class Own(DeclarativeBase):
        pass

    class Early(EventSourced, Own):
        __tablename__ = "early"
        id: Mapped[int] = mapped_column(primary_key=True)

    event.listen(Early, "mapper_configured", lambda mapper, _: configured.append(mapper), propagate=True)
    assert hasattr(Early, "find_by_id")
    assert configured == []
    assert isinstance(ModelQuery(session=Session(), model=Early), ModelQuery)
