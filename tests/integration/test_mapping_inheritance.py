"""Single-table, joined and concrete inheritance; an object that changes its class."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Engine, ForeignKey, delete, select, update
from sqlalchemy.ext.declarative import ConcreteBase
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, selectin_polymorphic

from lithair_sqla import EventSourced, Persistence, audit, create_all, history, persistence, rebuild
from lithair_sqla.errors import OptionError, StreamNotFoundError

if TYPE_CHECKING:
    from tests.integration.conftest import Log

Run = Callable[..., Any]


class Base(DeclarativeBase):
    pass


class Product(EventSourced, Base):
    """Joined inheritance below it, and single-table inheritance."""

    __tablename__ = "product"
    __persistence__ = Persistence(snapshot_frequency=3)
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "product"}  # noqa: RUF012

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    name: Mapped[str]


class Book(Product):
    __tablename__ = "book"
    __mapper_args__ = {"polymorphic_identity": "book"}  # noqa: RUF012

    id: Mapped[int] = mapped_column(ForeignKey(Product.id, ondelete="CASCADE"), primary_key=True)
    pages: Mapped[int] = mapped_column(info=persistence(event="PagesCounted"))


class Comic(Book):
    __tablename__ = "comic"
    __mapper_args__ = {"polymorphic_identity": "comic"}  # noqa: RUF012

    comic_id: Mapped[int] = mapped_column(ForeignKey(Book.id, ondelete="CASCADE"), primary_key=True)
    drawn_by: Mapped[str]


class Voucher(Product):
    """In its parent's table."""

    __mapper_args__ = {"polymorphic_identity": "voucher"}  # noqa: RUF012

    worth: Mapped[Decimal | None] = mapped_column(info=persistence(event="WorthSet"))


class Vehicle(ConcreteBase, EventSourced, Base):
    __tablename__ = "vehicle"
    __mapper_args__ = {"polymorphic_identity": "vehicle", "concrete": True}  # noqa: RUF012

    id: Mapped[int] = mapped_column(primary_key=True)
    wheels: Mapped[int]


class Lorry(Vehicle):
    __tablename__ = "lorry"
    __mapper_args__ = {"polymorphic_identity": "lorry", "concrete": True}  # noqa: RUF012

    id: Mapped[int] = mapped_column(primary_key=True)
    wheels: Mapped[int]
    tons: Mapped[int]


@pytest.fixture
def session(engine: Engine) -> Any:
    create_all(engine, Base)
    with Session(engine) as session:
        yield session


def test_an_object_of_joined_inheritance_is_a_stream_in_each_of_its_tables(session: Session, log: Log) -> None:
    comic = Comic(name="Tintin", pages=62, drawn_by="Hergé")
    session.add_all([comic, Product(name="pen")])
    session.commit()
    comic.pages, comic.name = 64, "Tintin au Tibet"
    session.commit()
    assert log.types("Book") == ["BookCreated", "PagesCounted"]
    assert log.types("Product") == ["ProductCreated", "ProductCreated", "ProductUpdated"]
    assert log.types("Comic") == ["ComicCreated"]
    assert [event.stream.name for event in history(session, comic)] == [
        "Product",
        "Book",
        "Comic",
        "Product",
        "Book",
    ]
    for class_ in (Product, Book, Comic):
        found = class_.rebuild_from_events(session, comic.id)
        assert isinstance(found, Comic)
        assert (found.name, found.pages, found.drawn_by) == ("Tintin au Tibet", 64, "Hergé")
    with pytest.raises(StreamNotFoundError):
        Book.rebuild_from_events(session, 2)


def test_a_single_table_subclass_shares_its_parents_stream(session: Session, log: Log) -> None:
    voucher = Voucher(name="gift", worth=Decimal("10.00"))
    session.add(voucher)
    session.commit()
    voucher.worth = Decimal("5.0")
    session.commit()
    assert log.types("Product") == ["ProductCreated", "WorthSet"]
    assert Product.rebuild_from_events(session, voucher.id).worth == Decimal("5.0")  # type: ignore[attr-defined]
    assert isinstance(Voucher.rebuild_from_events(session, voucher.id), Voucher)


def test_an_object_that_changes_its_class(session: Session, log: Log, run: Run) -> None:
    product = Product(name="was a pen")
    session.add(product)
    session.commit()
    run("INSERT INTO book (id, pages) VALUES (:id, 10)", id=product.id)
    run("UPDATE product SET kind = 'book' WHERE id = :id", id=product.id)
    session.expunge_all()
    book = session.get_one(Product, product.id)
    assert isinstance(book, Book)
    book.pages = 11
    session.commit()
    assert isinstance(Product.rebuild_from_events(session, book.id), Book)
    product_id = book.id
    session.expunge_all()
    run("DELETE FROM book; UPDATE product SET kind = 'voucher'")
    assert isinstance(Product.rebuild_from_events(session, product_id), Voucher)
    assert log.kinds("Book") == "cud"


def test_dml_and_cascades_on_joined_inheritance(session: Session, log: Log) -> None:
    session.add_all([Comic(name=str(n), pages=n, drawn_by="x") for n in range(3)])
    session.commit()
    session.execute(update(Book).values(pages=Book.pages + 1))
    session.execute(update(Comic).values(drawn_by="y").where(Comic.drawn_by == "x"))
    session.execute(update(Product).values(name="all"), execution_options={"synchronize_session": "fetch"})
    session.execute(delete(Product).where(Product.id > 1))
    session.commit()
    assert log.kinds("Comic") == "cccuuudd"
    assert log.kinds("Book") == "cccuuudd"
    options = selectin_polymorphic(Product, [Comic])
    assert [item.name for item in session.scalars(select(Product).options(options))] == ["all"]


def test_concrete_tables_have_streams_of_their_own(session: Session, log: Log) -> None:
    car, lorry = Vehicle(wheels=4), Lorry(wheels=6, tons=20)
    session.add_all([car, lorry])
    session.commit()
    lorry.tons = 30
    session.commit()
    assert (log.kinds("Vehicle"), log.kinds("Lorry")) == ("c", "cu")
    assert Lorry.rebuild_from_events(session, lorry.id).tons == 30
    assert Vehicle.rebuild_from_events(session, car.id).wheels == 4
    assert [event.stream.name for event in history(session, lorry)] == ["Lorry", "Lorry"]


def test_all_tables_of_an_object_are_rebuilt_children_and_parents(session: Session, engine: Engine, run: Run) -> None:
    session.add_all([Comic(name="a", pages=1, drawn_by="x"), Book(name="b", pages=2), Voucher(name="c")])
    session.commit()
    for table in ("product", "book", "comic"):
        run(f'ALTER TABLE {table} DISABLE TRIGGER "!lithair_guard"')
    run("DELETE FROM product WHERE id = 1")
    run("UPDATE book SET pages = 7")
    run("INSERT INTO product VALUES (99, 'comic', 'forged'); INSERT INTO book VALUES (99, 1)")
    run("INSERT INTO comic VALUES (99, 'nobody')")
    for table in ("product", "book", "comic"):
        run(f'ALTER TABLE {table} ENABLE ALWAYS TRIGGER "!lithair_guard"')
    reports = rebuild(engine, Comic)
    assert [(report.table, report.written, report.removed) for report in reports] == [
        ("product", 1, 1),
        ("book", 2, 1),
        ("comic", 1, 1),
    ]
    with engine.connect() as connection:
        assert audit(connection, Comic)


def test_options_of_a_single_table_subclass_must_be_its_parents() -> None:
    with pytest.raises(OptionError, match="one table, one guard"):

        class Coupon(Product):
            __persistence__ = Persistence(snapshot_frequency=7)
            __mapper_args__ = {"polymorphic_identity": "coupon"}  # noqa: RUF012
