"""A method that raises emits nothing, and its object is what it was."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import ForeignKey, select
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.ext.mutable import MutableDict, MutableList
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    WriteOnlyMapped,
    attribute_keyed_dict,
    composite,
    mapped_column,
    object_session,
    relationship,
    validates,
)
from sqlalchemy.types import Integer

from lithair_sqla import EventSourced, emits, record
from lithair_sqla.errors import CommandError

if TYPE_CHECKING:
    from sqlalchemy import URL, Engine


class Base(DeclarativeBase):
    pass


class Stop(Exception):  # noqa: N818 - what it does
    """An application's own error."""


class Point:
    def __init__(self, x: int | None, y: int | None) -> None:
        self.x, self.y = x, y

    def __composite_values__(self) -> tuple[int | None, int | None]:
        return self.x, self.y

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and (self.x, self.y) == (other.x, other.y)

    def __hash__(self) -> int:
        return hash((self.x, self.y))


class Order(EventSourced, Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    total: Mapped[int] = mapped_column(default=0)
    status: Mapped[str | None]
    tags: Mapped[list[int]] = mapped_column(MutableList.as_mutable(ARRAY(Integer)), default=list)
    facts: Mapped[dict[str, Any]] = mapped_column(MutableDict.as_mutable(JSONB), default=dict)
    x: Mapped[int | None]
    y: Mapped[int | None]
    at: Mapped[Point] = composite(Point, "x", "y")
    customer_id: Mapped[int | None] = mapped_column(ForeignKey("customer.id"))
    customer: Mapped[Customer | None] = relationship(back_populates="orders")
    lines: Mapped[list[Line]] = relationship(back_populates="order", order_by="Line.id", cascade="save-update")
    labels: Mapped[set[Label]] = relationship(cascade="all, delete-orphan")
    notes: Mapped[dict[str, Note]] = relationship(collection_class=attribute_keyed_dict("name"))
    visits: WriteOnlyMapped[Visit] = relationship()

    @validates("total")
    def _validate_total(self, _: str, value: int) -> int:
        if value > 1_000:
            raise Stop("a total has an end")
        return value

    @emits("OrderFailed")
    def fail(self, how: str) -> None:
        getattr(self, f"_{how}")()
        raise Stop(how)

    @emits("OrderFailed")
    async def fail_async(self) -> None:
        self.total = 99
        raise Stop

    def _scalars(self) -> None:
        self.total, self.status, self.at = 99, "failed", Point(9, 9)

    def _too_much(self) -> None:
        self.status = "failed"
        self.total = 2_000

    def _mutables(self) -> None:
        self.tags.append(9)
        self.facts["failed"] = True

    def _append(self) -> None:
        self.lines.append(Line(amount=9))
        self.labels.add(Label(name="failed"))
        self.notes["failed"] = Note(name="failed")

    def _remove(self) -> None:
        self.lines.pop()
        self.labels.clear()
        del self.notes["a"]

    def _replace(self) -> None:
        self.lines = [Line(amount=9)]
        self.labels = {Label(name="failed")}
        self.notes = {}
        self.customer = Customer(name="failed")

    def _reorder(self) -> None:
        self.lines.reverse()

    def _visit(self) -> None:
        self.visits.add(Visit())

    def _leave(self) -> None:
        self.customer = None

    def _delete(self) -> None:
        session = object_session(self)
        assert session is not None
        session.delete(self)

    def _flush(self) -> None:
        self._scalars()
        session = object_session(self)
        assert session is not None
        session.flush()
        self._append()
        self.total = 100

    def _roll_back(self) -> None:
        self._scalars()
        session = object_session(self)
        assert session is not None
        session.rollback()

    def _outer(self) -> None:
        self.total = 1
        for line in self.lines:
            line.cancel()

    def _commit(self) -> None:
        self.total = 1
        session = object_session(self)
        assert session is not None
        session.commit()

    @emits("OrderSaved")
    def save(self) -> None:
        self.total = 5
        session = object_session(self)
        assert session is not None
        with session.begin_nested():
            self.total = 6

    @emits("OrderTried")
    def try_twice(self) -> None:
        try:
            self.fail("scalars")
        except Stop:
            self.status = "tried"


class Line(EventSourced, Base):
    __tablename__ = "line"
    id: Mapped[int] = mapped_column(primary_key=True)
    amount: Mapped[int]
    order_id: Mapped[int | None] = mapped_column(ForeignKey("orders.id"))
    order: Mapped[Order | None] = relationship(back_populates="lines")

    @emits("LineCancelled")
    def cancel(self) -> None:
        self.amount = 0


class Label(Base):
    __tablename__ = "label"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    order_id: Mapped[int | None] = mapped_column(ForeignKey("orders.id"))


class Note(Base):
    __tablename__ = "note"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    order_id: Mapped[int | None] = mapped_column(ForeignKey("orders.id"))


class Visit(Base):
    __tablename__ = "visit"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int | None] = mapped_column(ForeignKey("orders.id"))


class Customer(Base):
    __tablename__ = "customer"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    orders: Mapped[list[Order]] = relationship(back_populates="customer")


WAYS = [
    "scalars",
    "too_much",
    "mutables",
    "append",
    "remove",
    "replace",
    "reorder",
    "visit",
    "leave",
    "delete",
]


def new_order() -> Order:
    return Order(
        total=1,
        tags=[1],
        facts={"a": 1},
        at=Point(1, 2),
        lines=[Line(amount=1), Line(amount=2)],
        labels={Label(name="a")},
        notes={"a": Note(name="a"), "b": Note(name="b")},
        customer=Customer(name="ana"),
    )


def look(order: Order) -> dict[str, Any]:
    """Everything about an order that a method of it can change."""
    assert order.customer is not None
    return {
        "scalars": (order.total, order.status, order.at, order.x, order.y),
        "mutables": (list(order.tags), dict(order.facts)),
        "lines": [(line.amount, line.order is order) for line in order.lines],
        "labels": {label.name for label in order.labels},
        "notes": {name: note.name for name, note in order.notes.items()},
        "customer": (order.customer.name, order in order.customer.orders),
    }


@pytest.fixture
def order(session: Session) -> Order:
    """An order that is committed."""
    made = new_order()
    session.add(made)
    session.commit()
    return made


def rows(engine: Engine) -> dict[str, int]:
    with Session(engine) as other:
        return {class_.__name__: len(other.scalars(select(class_)).all()) for class_ in (Line, Label, Note, Customer)}


@pytest.mark.parametrize(
    ("way", "is_"),
    # The order of a list that SQLAlchemy hears of no change of, and rows that a flush in the middle deleted, stay.
    [(way, "loaded") for way in WAYS if way != "reorder"]
    + [(way, "expired") for way in WAYS if way not in {"reorder", "remove", "replace"}],
)
def test_a_committed_object_is_what_it_was(
    engine: Engine, session: Session, order: Order, way: str, is_: str, log: Any
) -> None:
    before = look(order)
    there = rows(engine)
    if is_ == "expired":
        session.expire_all()

    with pytest.raises(Stop, match=way if way != "too_much" else "a total has an end"):
        order.fail(way)

    assert look(order) == before
    session.commit()
    assert look(order) == before
    assert log.kinds("Order", str(order.id)) == "c"
    assert rows(engine) == there


@pytest.mark.parametrize("way", [way for way in WAYS if way not in {"visit", "delete"}])
@pytest.mark.parametrize("where", ["transient", "pending"])
def test_a_new_object_is_what_it_was(session: Session, way: str, where: str, log: Any) -> None:
    order = new_order()
    if where == "pending":
        session.add(order)
    before = look(order)

    with pytest.raises(Stop):
        order.fail(way)

    assert look(order) == before
    session.add(order)
    session.commit()
    assert look(order) == before
    assert log.types("Order", str(order.id)) == ["OrderCreated"]


def test_what_was_not_set_on_a_new_object_is_not_set_again() -> None:
    order = Order()

    with pytest.raises(Stop):
        order.fail("scalars")

    assert set(vars(order)) == {"_sa_instance_state"}


def test_after_a_flush_in_the_middle_it_is_put_back_too(session: Session, order: Order, log: Any) -> None:
    before = look(order)

    with pytest.raises(Stop):
        order.fail("flush")

    assert look(order) == before
    session.commit()
    assert look(order) == before
    assert log.types("Order", str(order.id)) == ["OrderCreated", "OrderUpdated", "OrderUpdated"]


@pytest.mark.parametrize("way", ["remove", "replace"])
def test_rows_that_a_flush_in_the_middle_deleted_stay_deleted(session: Session, order: Order, way: str) -> None:
    session.expire_all()

    with pytest.raises(Stop, match=way) as raised:
        order.fail(way)

    assert not hasattr(raised.value, "__notes__")
    session.commit()
    assert [line.amount for line in order.lines] == [1, 2]
    assert not order.labels


def test_a_rollback_inside_is_not_undone(session: Session, order: Order, log: Any) -> None:
    with pytest.raises(Stop):
        order.fail("roll_back")

    assert order.total == 1
    session.commit()
    assert log.types("Order", str(order.id)) == ["OrderCreated"]


def test_calls_inside_that_returned_are_emitted(session: Session, order: Order, log: Any) -> None:
    with pytest.raises(Stop):
        order.fail("outer")
    session.commit()

    assert [log.types("Line", str(line.id))[-1] for line in order.lines] == ["LineCancelled"] * 2


def test_an_error_caught_by_a_method_leaves_the_methods_own_event(session: Session, order: Order, log: Any) -> None:
    order.try_twice()
    session.commit()

    assert order.total == 1
    assert [(found.type, found.data) for found in log("Order", str(order.id))][1:] == [
        ("OrderTried", {"status": "tried"})
    ]


def test_changes_pending_before_the_call_stay(session: Session, order: Order, log: Any) -> None:
    order.status = "mine"

    with pytest.raises(Stop):
        order.fail("scalars")
    session.commit()

    assert order.status == "mine"
    assert [(found.type, found.data) for found in log("Order", str(order.id))][1:] == [
        ("OrderUpdated", {"status": "mine"})
    ]


def test_what_a_failing_method_adds_to_the_session_by_itself_stays(session: Session, order: Order) -> None:
    attempt = Note(name="attempt")
    assert [line.amount for line in order.lines] == [1, 2]

    def fail() -> None:
        session.add(attempt)
        order.lines.append(Line(amount=9))

    order.__dict__["_scalars"] = fail
    with pytest.raises(Stop):
        order.fail("scalars")

    assert list(session.new) == [attempt]


def test_a_mutable_that_was_put_back_is_still_watched(session: Session, order: Order) -> None:
    with pytest.raises(Stop):
        order.fail("mutables")

    order.tags.append(7)
    order.facts["b"] = 2
    session.commit()

    assert (order.tags, order.facts) == ([1, 7], {"a": 1, "b": 2})


def test_an_async_method_that_raises_is_put_back(database_url: URL, order: Order, log: Any) -> None:
    key = order.id

    async def use() -> None:
        engine = create_async_engine(database_url)
        async with AsyncSession(engine) as opened:
            found = await opened.get_one(Order, key)
            with pytest.raises(Stop):
                await found.fail_async()
            assert found.total == 1
            await opened.commit()
        await engine.dispose()

    asyncio.run(use())
    assert log.kinds("Order", str(key)) == "c"


def test_a_commit_inside_a_method_is_refused_and_nothing_is_committed(session: Session, order: Order, log: Any) -> None:
    with pytest.raises(CommandError, match="a commit inside the @emits method of 'OrderFailed'"):
        order.fail("commit")

    assert order.total == 1
    session.commit()
    assert log.kinds("Order", str(order.id)) == "c"


def test_a_savepoint_inside_a_method_is_no_commit(session: Session, order: Order, log: Any) -> None:
    order.save()
    session.commit()

    assert [(found.type, found.data) for found in log("Order", str(order.id))][1:] == [
        ("OrderSaved", {"total": 5}),
        ("OrderUpdated", {"total": 6}),
    ]


def test_after_an_error_the_session_goes_on(session: Session, order: Order, log: Any) -> None:
    for way in WAYS:
        with pytest.raises(Stop):
            order.fail(way)
    record(order, "Survived")
    session.commit()

    assert [(found.type, found.data) for found in log("Order", str(order.id))][1:] == [("Survived", {})]
