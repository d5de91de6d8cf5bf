"""The history of one object: its events, and the object as it was."""

# ruff: noqa: RUF012 - classes as SQLAlchemy has them

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import URL, Computed, Engine, ForeignKey, Numeric, String, func, inspect, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, selectinload

from lithair_sqla import EventSourced, Persistence, as_of, context, create_all, history, record
from lithair_sqla.errors import MappingError, MomentError, OptionError, PastSessionError, StreamNotFoundError
from lithair_sqla.types import Kind


@pytest.fixture
def store(engine: Engine) -> SimpleNamespace:
    """Products, books among them, and orders with lines."""

    class Base(DeclarativeBase):
        pass

    class Product(EventSourced, Base):
        __tablename__ = "product"
        __persistence__ = Persistence(snapshot_frequency=3)
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str] = mapped_column(String(20))
        title: Mapped[str] = mapped_column("name")
        price: Mapped[Decimal] = mapped_column(Numeric(12, 2))
        doubled: Mapped[Decimal] = mapped_column(Numeric, Computed("price * 2", persisted=True))
        facts: Mapped[Any] = mapped_column(JSONB, nullable=True)
        blurb: Mapped[str | None] = mapped_column(deferred=True)
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "product"}

    class Book(Product):
        __tablename__ = "book"
        id: Mapped[int] = mapped_column(ForeignKey("product.id"), primary_key=True)
        pages: Mapped[int]
        __mapper_args__ = {"polymorphic_identity": "book"}

    class Order(EventSourced, Base):
        __tablename__ = "order"
        id: Mapped[int] = mapped_column(primary_key=True)
        note: Mapped[str]
        lines: Mapped[list[Any]] = relationship(
            "Line", back_populates="order", order_by="Line.number", cascade="all, delete-orphan"
        )

    class Line(EventSourced, Base):
        __tablename__ = "line"
        order_id: Mapped[int] = mapped_column(ForeignKey("order.id"), primary_key=True)
        number: Mapped[int] = mapped_column(primary_key=True)
        product_id: Mapped[int | None] = mapped_column(ForeignKey("product.id"))
        quantity: Mapped[int]
        order: Mapped[Order] = relationship(back_populates="lines")
        product: Mapped[Product | None] = relationship()

    create_all(engine, Base)
    return SimpleNamespace(Product=Product, Book=Book, Order=Order, Line=Line)


def price_over_time(session: Session, store: SimpleNamespace, *prices: int) -> Any:
    """Make a product and change its price, a commit each."""
    product = store.Product(id=1, title="anvil", price=prices[0], facts={"a": 1})
    session.add(product)
    session.commit()
    for price in prices[1:]:
        product.price = Decimal(price)
        session.commit()
    return product


# ------------------------------------------------------------------------------------------------ walking


def test_events_come_in_order_either_way_and_in_pages(engine: Engine, store: SimpleNamespace) -> None:
    with Session(engine) as session:
        product = price_over_time(session, store, *range(10))
        events = history(session, product)
        versions = list(range(1, 11))
        assert [event.version for event in events] == versions
        assert [event.version for event in events] == versions
        assert [event.version for event in events.newest()] == versions[::-1]
        assert [event.version for event in events.newest().oldest()] == versions
        assert [event.version for event in reversed(events)] == versions[::-1]
        assert [event.version for event in events.limit(3)] == [1, 2, 3]
        assert [event.version for event in events.newest().limit(3).limit(7)] == [10, 9, 8]
        assert [event.version for event in reversed(events.limit(3))] == [3, 2, 1]
        assert [event.version for event in events.limit(0)] == []
        assert events.count() == len(events) == 10
        assert events.limit(4).count() == 4
        assert events.first() == next(iter(events)) == events.all()[0]
        assert bool(events)
        for size in (1, 3, 10, 11):
            for walk in (events, events.newest()):
                found, page = [], walk.page(size)
                while page:
                    assert len(page) <= size
                    found += page
                    page = walk.page(size, after=page[-1])
                assert found == walk.all()
        assert events.page(2, after=events.page(2)[-1].position)[0].version == 3


def test_by_object_or_by_class_and_key(engine: Engine, store: SimpleNamespace) -> None:
    with Session(engine) as session:
        product = price_over_time(session, store, 1, 2)
        assert history(session, store.Product, 1).all() == history(session, product).all()
        assert repr(history(session, product)) == "<History of Product 1>"
        assert [str(stream) for stream in history(session, product).streams] == ["Product(1)"]
        session.add(store.Order(id=5, note="x", lines=[store.Line(number=1, quantity=1)]))
        session.commit()
        assert history(session, store.Line, (5, 1)).count() == 1
        assert repr(history(session, store.Line, (5, 1))) == "<History of Line (5, 1)>"


def test_what_was_never_written_has_an_empty_history(engine: Engine, store: SimpleNamespace) -> None:
    with Session(engine) as session:
        nothing = history(session, store.Product, 99)
        assert nothing.all() == []
        assert nothing.count() == 0
        assert not nothing
        assert nothing.first() is None
        assert nothing.page() == []
        assert nothing.streams == ()
        assert nothing.of("price") == []
        assert nothing.at(position=0) is None
        assert nothing.diff(0, 0) == {}
        with pytest.raises(MomentError, match="no version 1: it has 0"):
            nothing.at(version=1)


def test_an_expired_object_is_not_flushed(engine: Engine, store: SimpleNamespace) -> None:
    with Session(engine) as session:
        product = price_over_time(session, store, 1)
        session.add(store.Product(id=2, title="pending", price=1))
        session.expire(product)
        assert history(session, product).count() == 1
        assert len(session.new) == 1


def test_it_is_read_lazily_a_page_at_a_time(engine: Engine, store: SimpleNamespace, count_statements: Any) -> None:
    with Session(engine) as session:
        price_over_time(session, store, 1)
        with engine.begin() as connection:
            for _ in range(1200):
                connection.execute(text("UPDATE product SET price = price + 1"))
        events = history(session, store.Product, 1)
        events.first()
        with count_statements(engine) as counted:
            walk = iter(events)
            assert len(counted) == 0
            assert next(walk).version == 1
        # The class's two tables are asked for the stream; then comes a page.
        assert len(counted) == 3
        with count_statements(engine) as counted:
            assert len(list(walk)) == 1200
        assert len(counted) == 2
        with count_statements(engine) as counted:
            assert [event.version for event in events.newest().page(5)] == [1201, 1200, 1199, 1198, 1197]
        assert len(counted) == 3


def test_a_walk_goes_on_across_commits_and_ends_where_it_began(engine: Engine, store: SimpleNamespace) -> None:
    with Session(engine) as session:
        product = price_over_time(session, store, 1, 2, 3)
        walk = iter(history(session, product))
        seen = [next(walk).version]
        product.price = Decimal(4)
        session.commit()
        seen += [event.version for event in walk]
        assert seen == [1, 2, 3]


# ------------------------------------------------------------------------------------------------ narrowing


def test_narrowed_by_who_why_what_and_when(engine: Engine, store: SimpleNamespace) -> None:
    request = uuid4()
    with Session(engine) as session:
        with context(user_id="ana"):
            product = price_over_time(session, store, 1, 2)
        between = session.scalar(func.clock_timestamp())
        session.commit()
        with context(user_id="bob", correlation_id=request):
            product.title = "Anvil"
            session.commit()
            record(product, "ProductViewed", channel="web")
            session.commit()
        with context(user_id="ana", correlation_id=uuid4()):
            product.price = Decimal(3)
            session.commit()
        events = history(session, product)

        def versions(**narrowed: Any) -> list[int]:
            found = [event.version for event in events.where(**narrowed)]
            assert events.where(**narrowed).count() == len(found)
            assert [event.version for event in events.where(**narrowed).newest()] == found[::-1]
            return found

        assert versions() == [1, 2, 3, 4, 5]
        assert versions(actor="ana") == [1, 2, 5]
        assert versions(actor="eve") == []
        assert versions(correlation_id=request) == versions(correlation_id=str(request)) == [3, 4]
        assert versions(types="ProductUpdated") == [2, 3, 5]
        assert versions(types=["ProductCreated", "ProductViewed"]) == [1, 4]
        assert versions(types=[]) == []
        assert versions(kinds=Kind.NOTE) == [4]
        assert versions(kinds=[Kind.CREATE, Kind.UPDATE]) == [1, 2, 3, 5]
        assert versions(since=between) == [3, 4, 5]
        assert versions(until=between) == [1, 2]
        assert versions(since=between, actor="ana") == [5]
        assert [e.version for e in events.where(actor="ana").where(types="ProductUpdated").where(since=between)] == [5]
        assert events.where(actor="ana").where(actor="bob").all() == []
        assert events.where(types=["A", "ProductUpdated"]).where(types=["ProductUpdated", "B"]).count() == 3
        assert [e.version for e in events.where(actor="ana").page(2)] == [1, 2]
        assert [e.version for e in events.where(actor="ana").page(2, after=events.all()[1])] == [5]


@pytest.mark.parametrize(
    ("narrowed", "error"),
    [
        ({"since": "yesterday"}, OptionError),
        ({"until": 5}, OptionError),
        ({"correlation_id": "no uuid"}, OptionError),
        ({"correlation_id": 5}, OptionError),
        ({"kinds": ["x"]}, ValueError),
    ],
)
def test_what_narrows_nothing_is_refused(engine: Engine, store: SimpleNamespace, narrowed: Any, error: Any) -> None:
    with Session(engine) as session, pytest.raises(error):
        history(session, store.Product, 1).where(**narrowed)


def test_naive_times_are_refused(engine: Engine, store: SimpleNamespace) -> None:
    naive = datetime(2024, 1, 1)  # noqa: DTZ001 - that is the point
    with Session(engine) as session:
        events = history(session, store.Product, 1)
        with pytest.raises(MomentError, match="time zone"):
            events.where(since=naive)
        with pytest.raises(MomentError, match="time zone"):
            events.at(time=naive)


@pytest.mark.parametrize("bad", [-1, 1.5, "3", True])
def test_sizes_and_limits_are_whole_numbers(engine: Engine, store: SimpleNamespace, bad: Any) -> None:
    with Session(engine) as session:
        events = history(session, store.Product, 1)
        with pytest.raises(OptionError):
            events.limit(bad)
        with pytest.raises(OptionError):
            events.page(bad)


# ------------------------------------------------------------------------------------------------ then


def test_the_object_at_a_version_a_time_and_a_position(engine: Engine, store: SimpleNamespace) -> None:
    with Session(engine) as session:
        product = price_over_time(session, store, *range(1, 9))
        events = history(session, product).all()
        for event in events:
            for then in (
                history(session, product).at(version=event.version),
                history(session, product).at(time=event.recorded_at),
                history(session, product).at(position=event.position),
            ):
                assert then is not None
                assert then is not product
                assert inspect(then).detached
                assert (then.price, then.doubled) == (event.version, event.version * 2)
                assert (then.title, then.facts, then.blurb) == ("anvil", {"a": 1}, None)
        assert history(session, product).at(position=0) is None
        assert product.price == 8


def test_a_version_in_the_middle_of_a_transaction(engine: Engine, store: SimpleNamespace) -> None:
    with Session(engine) as session:
        product = price_over_time(session, store, 1)
        for price in (2, 3):
            product.price = Decimal(price)
            session.flush()
        session.commit()
        prices = [history(session, product).at(version=version).price for version in (1, 2, 3)]
        assert prices == [1, 2, 3]
        second = history(session, product).all()[1]
        assert history(session, product).at(position=second.position).price == 1


def test_an_object_that_was_deleted_and_came_again(engine: Engine, store: SimpleNamespace) -> None:
    with Session(engine) as session:
        session.delete(price_over_time(session, store, 1, 2))
        session.commit()
        session.add(store.Product(id=1, title="again", price=3))
        session.commit()
        events: Any = history(session, store.Product, 1)
        assert [str(event.kind) for event in events] == ["c", "u", "d", "c"]
        assert events.at(version=3) is None
        assert events.at(version=4).title == "again"
        assert events.diff(2, 3)["price"] == (2, None)
        assert events.diff(3, 4)["price"] == (None, 3)
        assert [(change.old, change.new) for change in events.of("price")] == [(None, 1), (1, 2), (2, None), (None, 3)]


@pytest.mark.parametrize("given", [{}, {"version": 1, "position": 1}, {"version": 1, "time": 1, "position": 1}])
def test_at_takes_one_moment(engine: Engine, store: SimpleNamespace, given: Any) -> None:
    with Session(engine) as session, pytest.raises(MomentError, match="one of"):
        history(session, store.Product, 1).at(**given)


@pytest.mark.parametrize("version", [-1, 3, 10**18, 1.0, "1", True])
def test_versions_that_are_not_there(engine: Engine, store: SimpleNamespace, version: Any) -> None:
    with Session(engine) as session:
        product = price_over_time(session, store, 1, 2)
        attempts: list[Callable[[], Any]] = [
            lambda: history(session, product).at(version=version),
            lambda: history(session, product).diff(1, version),
            lambda: history(session, product).revert(version),
        ]
        for attempt in attempts:
            with pytest.raises(MomentError, match="version"):
                attempt()


def test_differences_are_in_the_classs_own_terms(engine: Engine, store: SimpleNamespace) -> None:
    with Session(engine) as session:
        product = price_over_time(session, store, 10, 12)
        product.title, product.facts, product.blurb = "Anvil", {"a": [1, 2]}, "heavy"
        session.commit()
        events = history(session, product)
        assert events.diff(1, 2) == {"price": (Decimal("10.00"), Decimal("12.00")), "doubled": (20, 24)}
        assert events.diff(2, 3) == {
            "title": ("anvil", "Anvil"),
            "facts": ({"a": 1}, {"a": [1, 2]}),
            "blurb": (None, "heavy"),
        }
        assert events.diff(3, 2)["title"] == ("Anvil", "anvil")
        assert events.diff(2, 2) == {}
        assert events.diff(0, 1) == {
            "id": (None, 1),
            "kind": (None, "product"),
            "title": (None, "anvil"),
            "price": (None, 10),
            "doubled": (None, 20),
            "facts": (None, {"a": 1}),
        }


def test_an_order_and_its_lines_at_a_version(engine: Engine, store: SimpleNamespace) -> None:
    with Session(engine) as session:
        order = store.Order(id=1, note="new", lines=[store.Line(number=n, quantity=n) for n in (1, 2)])
        session.add(order)
        session.commit()
        order.note = "packed"
        order.lines[0].quantity = 9
        session.flush()
        order.lines.pop()
        session.commit()
        order.note = "sent"
        order.lines.append(store.Line(number=3, quantity=3))
        session.commit()
        events = history(session, order)
        lines = [selectinload(store.Order.lines)]

        def then(version: int) -> Any:
            found = events.at(version=version, options=lines)
            assert found is not None
            return found.note, [(line.number, line.quantity) for line in found.lines]

        # At a version in the middle of a transaction, what that transaction did before it is there.
        last = {event.version: event.position for event in events}
        assert then(2) == ("packed", [(1, 9 if _position_of(session, store, 1) < last[2] else 1), (2, 2)])
        assert then(3)[0] == "sent"
        at_end = events.at(position=events.all()[-1].position + 1, options=lines)
        assert at_end is not None
        assert [(line.number, line.quantity) for line in at_end.lines] == [(1, 9), (3, 3)]


def _position_of(session: Session, store: SimpleNamespace, number: int) -> int:
    return history(session, store.Line, (1, number)).all()[1].position


# ------------------------------------------------------------------------------------------------ one attribute


def test_changes_of_one_attribute(engine: Engine, store: SimpleNamespace) -> None:
    with Session(engine) as session:
        with context(user_id="ana"):
            product = price_over_time(session, store, 10, 12)
        with context(user_id="bob"):
            product.title = "Anvil"
            session.commit()
            product.price = Decimal(9)
            session.commit()
        events = history(session, product)
        changes = events.of("price")
        assert changes == events.of(store.Product.price)
        assert [(c.version, c.old, c.new, c.actor, c.type) for c in changes] == [
            (1, None, 10, "ana", "ProductCreated"),
            (2, 10, 12, "ana", "ProductUpdated"),
            (4, 12, 9, "bob", "ProductUpdated"),
        ]
        assert [c.recorded_at for c in changes] == [e.recorded_at for e in events if e.version != 3]
        assert all(isinstance(change.new, Decimal) for change in changes)
        assert str(changes[1]) == "2: 10.00 → 12.00 by ana"
        assert [change.version for change in events.newest().limit(2).of("price")] == [4, 2]
        assert [(c.old, c.new) for c in events.where(actor="bob").of("price")] == [(12, 9)]
        assert [(c.old, c.new) for c in events.of("title")] == [(None, "anvil"), ("anvil", "Anvil")]
        assert [(c.old, c.new) for c in events.of("facts")] == [(None, {"a": 1})]
        assert [(c.old, c.new) for c in events.of("doubled")] == [(None, 20), (20, 24), (24, 18)]


@pytest.mark.parametrize("attribute", ["prize", "name", "lines", None, 5])
def test_what_is_no_column_has_no_changes(engine: Engine, store: SimpleNamespace, attribute: Any) -> None:
    with Session(engine) as session, pytest.raises(MappingError, match="not a column"):
        history(session, store.Product, 1).of(attribute)


# ------------------------------------------------------------------------------------------------ and back


def test_a_revert_becomes_new_events(engine: Engine, store: SimpleNamespace) -> None:
    with Session(engine) as session:
        product = price_over_time(session, store, 10, 12)
        product.title, product.blurb = "Anvil", "heavy"
        session.commit()
        assert history(session, product).revert(1) is product
        assert (product.title, product.price, product.blurb) == ("anvil", 10, None)
        assert history(session, product).count() == 3
        with context(user_id="ana"):
            session.commit()
        events = history(session, product).all()
        assert len(events) == 4
        assert (events[3].actor, set(events[3].data)) == ("ana", {"name", "price", "doubled", "blurb"})
        assert history(session, product).diff(1, 4) == {}
        history(session, product).revert(4)
        assert not session.dirty


def test_a_deleted_object_comes_back(engine: Engine, store: SimpleNamespace) -> None:
    with Session(engine) as session:
        session.delete(price_over_time(session, store, 10, 12))
        session.commit()
        back: Any = history(session, store.Product, 1).revert(2)
        session.commit()
        assert back in session
        assert (back.title, back.price, back.doubled) == ("anvil", 12, 24)
        with pytest.raises(MomentError, match="was not there"):
            history(session, store.Product, 1).revert(3)


def test_a_revert_of_a_foreign_key_is_seen_by_its_relationship(engine: Engine, store: SimpleNamespace) -> None:
    with Session(engine) as session:
        for number in (1, 2):
            session.add(store.Product(id=number, title=f"p{number}", price=1))
        line = store.Line(number=1, quantity=1, product_id=1)
        session.add(store.Order(id=1, note="", lines=[line]))
        session.commit()
        line.product = session.get(store.Product, 2)
        session.commit()
        assert line.product.id == 2
        history(session, line).revert(1)
        assert line.product.id == 1
        session.commit()
        assert line.product_id == 1


def test_no_revert_in_the_past(engine: Engine, store: SimpleNamespace) -> None:
    with Session(engine) as session:
        price_over_time(session, store, 1, 2)
        with as_of(session, 1) as past, pytest.raises(PastSessionError, match="read-only"):
            history(past, store.Product, 1).revert(1)


# ------------------------------------------------------------------------------------------------ several tables


def test_an_object_of_two_tables_has_one_history(engine: Engine, store: SimpleNamespace) -> None:
    with Session(engine) as session:
        book = store.Book(id=1, title="anvils", price=1, pages=10)
        session.add(book)
        session.commit()
        book.pages = 20
        session.commit()
        book.price = Decimal(2)
        session.commit()
        histories: list[Any] = [
            history(session, book),
            history(session, store.Product, 1),
            history(session, store.Book, 1),
        ]
        for events in histories:
            names = [event.stream.name for event in events]
            assert names == ["Product", "Book", "Book", "Product"]
            assert [event.stream.name for event in events.newest()] == names[::-1]
            assert [event.stream.name for event in events.page(3)] == names[:3]
            assert [event.stream.name for event in events.page(3, after=events.page(3)[-1])] == names[3:]
            assert events.count() == 4
            assert events.at(version=1) is None or events.at(version=1).price == 1
            assert (events.at(version=2).pages, events.at(version=2).price) == (10, 1)
            assert (events.at(version=3).pages, events.at(version=3).price) == (20, 1)
            assert (events.at(version=4).pages, events.at(version=4).price) == (20, 2)
            assert events.diff(2, 4) == {"pages": (10, 20), "price": (1, 2), "doubled": (2, 4)}
            assert [(c.old, c.new) for c in events.of("pages")] == [(None, 10), (10, 20)]
            assert [(c.old, c.new) for c in events.of("price")] == [(None, 1), (1, 2)]
        history(session, book).revert(2)
        session.commit()
        assert (book.pages, book.price) == (10, 1)


# ------------------------------------------------------------------------------------------------ elsewhere


def test_a_history_on_a_past_session_ends_there(engine: Engine, store: SimpleNamespace) -> None:
    with Session(engine) as session:
        product = price_over_time(session, store, 1, 2, 3)
        position = history(session, product).all()[1].position
        with as_of(session, position) as past:
            events = history(past, store.Product, 1)
            assert [event.version for event in events] == [1, 2]
            assert events.count() == 2
            assert [(c.old, c.new) for c in events.of("price")] == [(None, 1), (1, 2)]
            assert [event.version for event in history(past, store.Product)] == [1, 2]
            assert [event.version for event in history(past, past.get(store.Product, 1))] == [1, 2]
            with pytest.raises(MomentError, match="no version 3"):
                events.at(version=3)


def test_history_of_an_async_session(database_url: URL, engine: Engine, store: SimpleNamespace) -> None:
    with Session(engine) as session:
        price_over_time(session, store, 1, 2)

    async def read() -> None:
        async_engine = create_async_engine(database_url)
        async with AsyncSession(async_engine) as session:
            with pytest.raises(OptionError, match="run_sync"):
                history(session, store.Product, 1)  # type: ignore[call-overload]
            found = await session.run_sync(lambda sync: history(sync, store.Product, 1).all())
            assert [event.version for event in found] == [1, 2]
        await async_engine.dispose()

    asyncio.run(read())


def test_what_has_no_history(engine: Engine, store: SimpleNamespace) -> None:
    with Session(engine) as session:
        with pytest.raises(StreamNotFoundError, match="flush it first"):
            history(session, store.Product(id=1, title="x", price=1))
        for target in (object(), Session, 5, "Product"):
            with pytest.raises(MappingError, match="not event-sourced"):
                history(session, target)
        with pytest.raises(OptionError, match="1 values"):
            history(session, store.Line, 5)
        with pytest.raises(OptionError, match="takes a session"):
            history(None, store.Product)  # type: ignore[call-overload]


def test_a_transaction_that_is_rolled_back_leaves_no_event(engine: Engine, store: SimpleNamespace) -> None:
    with Session(engine) as session:
        product = price_over_time(session, store, 1)
        product.price = Decimal(2)
        session.flush()
        assert history(session, product).count() == 2
        session.rollback()
        assert history(session, product).count() == 1


def test_a_moment_between_two_commits(engine: Engine, store: SimpleNamespace) -> None:
    with Session(engine) as session:
        product = price_over_time(session, store, 1, 2)
        first, second = history(session, product)
        assert history(session, product).at(time=second.recorded_at - timedelta(microseconds=1)).price == 1
        assert history(session, product).at(time=first.recorded_at - timedelta(microseconds=1)) is None
