"""What the ORM and the database do to related rows, each row's change in its own stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Engine, ForeignKey, ForeignKeyConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from lithair_sqla import EventSourced, context, create_all

if TYPE_CHECKING:
    from tests.integration.conftest import Log

Run = Callable[..., Any]


class Base(DeclarativeBase):
    pass


class Order(EventSourced, Base):
    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    state: Mapped[str] = mapped_column(default="new")
    lines: Mapped[list[Line]] = relationship(cascade="all, delete-orphan", back_populates="order")
    remarks: Mapped[list[Remark]] = relationship()
    parcels: Mapped[list[Parcel]] = relationship(cascade="all, delete", passive_deletes=True)
    labels: Mapped[list[Label]] = relationship(passive_deletes="all")


class Line(EventSourced, Base):
    """Deleted by the ORM when it leaves its order."""

    __tablename__ = "line"

    order_id: Mapped[int] = mapped_column(ForeignKey(Order.id), primary_key=True)
    place: Mapped[int] = mapped_column(primary_key=True)
    amount: Mapped[int] = mapped_column(default=1)
    order: Mapped[Order] = relationship(back_populates="lines")


class Remark(EventSourced, Base):
    """Let go by the ORM when its order is deleted: the foreign key becomes null."""

    __tablename__ = "remark"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    order_id: Mapped[int | None] = mapped_column(ForeignKey(Order.id))


class Parcel(EventSourced, Base):
    """Deleted by the database with its order."""

    __tablename__ = "parcel"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    order_id: Mapped[int] = mapped_column(ForeignKey(Order.id, ondelete="CASCADE"))
    stamps: Mapped[list[Stamp]] = relationship(passive_deletes=True)


class Stamp(EventSourced, Base):
    """Deleted by the database with its parcel, which is deleted with its order."""

    __tablename__ = "stamp"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    parcel_id: Mapped[int] = mapped_column(ForeignKey(Parcel.id, ondelete="CASCADE"))


class Label(EventSourced, Base):
    """Let go by the database."""

    __tablename__ = "label"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    order_id: Mapped[int | None] = mapped_column(ForeignKey(Order.id, ondelete="SET NULL"))


class Node(EventSourced, Base):
    """A tree whose parent names a favourite child: two foreign keys that need a second UPDATE."""

    __tablename__ = "node"
    __table_args__ = (
        ForeignKeyConstraint(["favourite_id"], ["node.id"], name="node_favourite", use_alter=True),
        ForeignKeyConstraint(["parent_id"], ["node.id"], ondelete="CASCADE"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    parent_id: Mapped[int | None] = mapped_column()
    favourite_id: Mapped[int | None] = mapped_column()
    children: Mapped[list[Node]] = relationship(foreign_keys=[parent_id], cascade="all", passive_deletes=True)
    favourite: Mapped[Node | None] = relationship(foreign_keys=[favourite_id], remote_side="Node.id", post_update=True)


@pytest.fixture
def session(engine: Engine) -> Any:
    create_all(engine, Base)
    with Session(engine) as session:
        yield session


def one_of_everything() -> Order:
    return Order(
        id=1,
        lines=[Line(place=1), Line(place=2)],
        remarks=[Remark(id=1)],
        parcels=[Parcel(id=1, stamps=[Stamp(id=1), Stamp(id=2)])],
        labels=[Label(id=1)],
    )


def test_deleting_a_parent_is_an_event_of_every_row_it_takes_along_or_lets_go(session: Session, log: Log) -> None:
    session.add(one_of_everything())
    session.commit()
    session.delete(session.get_one(Order, 1))
    session.commit()
    assert log.kinds("Order") == "cd"
    assert log.kinds("Line") == "ccdd"
    assert log.kinds("Remark") == log.kinds("Label") == "cu"
    assert log.data("Remark")[-1] == log.data("Label")[-1] == {"order_id": None}
    assert log.kinds("Parcel") == "cd"
    assert log.kinds("Stamp") == "ccdd"


def test_a_cascade_in_sql_is_captured_to_its_end(session: Session, log: Log, run: Run) -> None:
    session.add(one_of_everything())
    session.commit()
    run("DELETE FROM line; UPDATE remark SET order_id = NULL; DELETE FROM orders")
    assert log.kinds("Stamp") == "ccdd"
    assert log.kinds("Label") == "cu"


def test_an_orphan_is_deleted_and_a_moved_child_keeps_its_stream(session: Session, log: Log) -> None:
    order = one_of_everything()
    session.add_all([order, Order(id=2)])
    session.commit()
    order.lines.pop()
    order.remarks.pop()
    other = session.get_one(Order, 2)
    other.parcels.append(order.parcels.pop())
    session.commit()
    assert log.kinds("Line", '["1", "2"]') == "cd"
    assert log.data("Remark")[-1] == {"order_id": None}
    assert log.data("Parcel")[-1] == {"order_id": 2}


def test_a_row_switch_is_an_update(session: Session, log: Log) -> None:
    order = one_of_everything()
    session.add(order)
    session.commit()
    order.lines = [Line(place=1, amount=7), Line(place=3)]
    session.commit()
    assert log.kinds("Line", '["1", "1"]') == "cu"
    assert log.data("Line", '["1", "1"]')[-1] == {"amount": 7}
    assert log.kinds("Line", '["1", "2"]') == "cd"
    session.delete(order)
    session.add(Order(id=1, state="again"))
    session.flush()
    session.commit()
    assert log.kinds("Order") == "cu"


def test_a_delete_and_an_insert_of_one_key_go_on_in_its_stream(session: Session, log: Log) -> None:
    session.add(Order(id=1))
    session.commit()
    session.delete(session.get_one(Order, 1))
    session.flush()
    session.add(Order(id=1, state="second"))
    session.commit()
    assert log.kinds("Order") == "cdc"
    assert [event.version for event in log("Order")] == [1, 2, 3]


def test_post_update_of_rows_that_refer_to_each_other(session: Session, log: Log) -> None:
    root = Node(name="root", children=[Node(name="a"), Node(name="b")])
    root.favourite = root.children[1]
    session.add(root)
    session.commit()
    root.favourite = root.children[0]
    session.commit()
    favourites = [data["favourite_id"] for data in log.data("Node", str(root.id)) if "favourite_id" in data]
    assert favourites == [None, root.children[1].id, root.children[0].id]
    root.favourite = None
    session.flush()
    session.delete(root)
    session.commit()
    assert log.kinds("Node").count("d") == 3


class Owner(Base):
    """A class without events."""

    __tablename__ = "owner"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    pets: Mapped[list[Pet]] = relationship()


class Pet(EventSourced, Base):
    __tablename__ = "pet"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    owner_id: Mapped[int | None] = mapped_column(ForeignKey(Owner.id))


def test_a_child_of_a_parent_without_events_says_who_let_it_go(session: Session, log: Log) -> None:
    session.add(Owner(id=1, pets=[Pet(id=1)]))
    session.commit()
    session.expire_all()
    with context(user_id="ana"):
        session.delete(session.get_one(Owner, 1))
        session.commit()
    assert log("Pet")[-1].data == {"owner_id": None}
    assert log("Pet")[-1].actor == "ana"
