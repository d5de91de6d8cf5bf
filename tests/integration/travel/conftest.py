"""A shop with every kind of mapping, a random life for it, and copies of its tables at every commit: the oracle."""

# ruff: noqa: N806, RUF012 - classes as SQLAlchemy has them

from __future__ import annotations

import datetime as dt
import enum
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, Final
from uuid import UUID

import pytest
from sqlalchemy import (
    CHAR,
    Column,
    Computed,
    DateTime,
    Engine,
    Enum,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    Numeric,
    String,
    Table,
    Text,
    TypeDecorator,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.ext.declarative import AbstractConcreteBase
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    column_property,
    configure_mappers,
    mapped_column,
    relationship,
)

from lithair_sqla import EventSourced, Persistence, create_all

UTC: Final = dt.UTC


class State(enum.Enum):
    DRAFT = "draft"
    ON_SALE = "on sale"
    GONE = "gone"


class Cents(TypeDecorator[Decimal]):
    """An amount, kept as whole cents."""

    impl = Integer
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, _: Any) -> int | None:
        return None if value is None else int(value * 100)

    def process_result_value(self, value: int | None, _: Any) -> Decimal | None:
        return None if value is None else Decimal(value) / 100


def make_shop(*, snapshot_frequency: int = 4) -> SimpleNamespace:
    """Map the shop's classes anew."""

    class Base(DeclarativeBase):
        pass

    options = Persistence(snapshot_frequency=snapshot_frequency, max_snapshots_per_aggregate=3)

    class Category(EventSourced, Base):
        __tablename__ = "category"
        __persistence__ = options
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        parent_id: Mapped[int | None] = mapped_column(ForeignKey("category.id"))
        parent: Mapped[Any] = relationship("Category", remote_side="Category.id", back_populates="children")
        children: Mapped[list[Any]] = relationship("Category", back_populates="parent", order_by="Category.id")
        products: Mapped[list[Any]] = relationship("Product", back_populates="category", order_by="Product.id")

    product_tag = Table(
        "product_tag",
        Base.metadata,
        Column("product_id", ForeignKey("product.id", ondelete="CASCADE"), primary_key=True),
        Column("tag_name", ForeignKey("tag.name", ondelete="CASCADE", onupdate="CASCADE"), primary_key=True),
    )

    class Tag(EventSourced, Base):
        __tablename__ = "tag"
        name: Mapped[str] = mapped_column(String(40), primary_key=True)
        colour: Mapped[str] = mapped_column(CHAR(3))
        products: Mapped[list[Any]] = relationship(
            "Product", secondary=product_tag, back_populates="tags", order_by="Product.id"
        )

    class Product(EventSourced, Base):
        __tablename__ = "product"
        __persistence__ = options
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str] = mapped_column(String(20))
        name: Mapped[str]
        price: Mapped[Decimal] = mapped_column(Numeric(12, 2))
        with_tax: Mapped[Decimal] = mapped_column(Numeric, Computed("price * 1.2", persisted=True))
        stock: Mapped[int]
        weight: Mapped[float | None]
        labels: Mapped[list[str]] = mapped_column(ARRAY(Text))
        facts: Mapped[Any] = mapped_column(JSONB(none_as_null=True), nullable=True)
        state: Mapped[State] = mapped_column(Enum(State, name="product_state"))
        added_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True))
        category_id: Mapped[int | None] = mapped_column(ForeignKey("category.id"))
        category: Mapped[Category | None] = relationship(back_populates="products")
        tags: Mapped[list[Tag]] = relationship(secondary=product_tag, back_populates="products", order_by=Tag.name)
        lines: Mapped[list[Any]] = relationship("Line", back_populates="product")
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "product"}

    class Book(Product):
        __tablename__ = "book"
        id: Mapped[int] = mapped_column(ForeignKey("product.id", ondelete="CASCADE"), primary_key=True)
        isbn: Mapped[str | None]
        pages: Mapped[int]
        __mapper_args__ = {"polymorphic_identity": "book"}

    class Customer(EventSourced, Base):
        __tablename__ = "customer"
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str] = mapped_column(String(20))
        name: Mapped[str]
        credit: Mapped[Decimal | None] = mapped_column(Cents)
        orders: Mapped[list[Any]] = relationship(
            "Order", back_populates="customer", order_by="Order.id", cascade="all, delete-orphan"
        )
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "person"}

    class Company(Customer):
        vat: Mapped[str | None]
        __mapper_args__ = {"polymorphic_identity": "company"}

    class Order(EventSourced, Base):
        __tablename__ = "order"
        __persistence__ = options
        id: Mapped[UUID] = mapped_column(primary_key=True)
        customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id", ondelete="CASCADE"))
        placed_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True))
        note: Mapped[str | None]
        customer: Mapped[Customer] = relationship(back_populates="orders")
        lines: Mapped[list[Any]] = relationship(
            "Line", back_populates="order", order_by="Line.number", cascade="all, delete-orphan"
        )

    class Line(EventSourced, Base):
        __tablename__ = "order_line"
        order_id: Mapped[UUID] = mapped_column(ForeignKey("order.id", ondelete="CASCADE"), primary_key=True)
        number: Mapped[int] = mapped_column(primary_key=True)
        product_id: Mapped[int] = mapped_column(ForeignKey("product.id"))
        quantity: Mapped[int]
        price: Mapped[Decimal] = mapped_column(Numeric(12, 2))
        order: Mapped[Order] = relationship(back_populates="lines")
        product: Mapped[Product] = relationship(back_populates="lines")
        parcels: Mapped[list[Any]] = relationship(
            "Parcel", back_populates="line", cascade="all, delete-orphan", order_by="Parcel.id"
        )

    class Parcel(EventSourced, Base):
        __tablename__ = "parcel"
        id: Mapped[int] = mapped_column(primary_key=True)
        order_id: Mapped[UUID]
        number: Mapped[int]
        weight: Mapped[float]
        line: Mapped[Line] = relationship(back_populates="parcels")
        __table_args__ = (
            ForeignKeyConstraint(
                ["order_id", "number"], ["order_line.order_id", "order_line.number"], ondelete="CASCADE"
            ),
        )

    class Payment(AbstractConcreteBase, Base):
        pass

    class Card(EventSourced, Payment):
        __tablename__ = "card_payment"
        id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        amount: Mapped[Decimal]
        digits: Mapped[str]
        __mapper_args__ = {"polymorphic_identity": "card", "concrete": True}

    class Cash(EventSourced, Payment):
        __tablename__ = "cash_payment"
        id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        amount: Mapped[Decimal]
        till: Mapped[int]
        __mapper_args__ = {"polymorphic_identity": "cash", "concrete": True}

    class Depot(EventSourced, Base):
        """Stands in a schema, under the name of another table."""

        __tablename__ = "category"
        __table_args__ = {"schema": "depot"}
        __persistence__ = Persistence(name="Depot")
        id: Mapped[int] = mapped_column(primary_key=True)
        place: Mapped[str]
        category_id: Mapped[int | None] = mapped_column(ForeignKey("category.id", ondelete="SET NULL"))
        category: Mapped[Category | None] = relationship()
        shelves: Mapped[list[Any]] = relationship("Shelf", back_populates="depot", order_by="Shelf.id")

    class Shelf(EventSourced, Base):
        __tablename__ = "Shelf"
        __table_args__ = {"schema": "depot"}
        id: Mapped[int] = mapped_column(primary_key=True)
        depot_id: Mapped[int] = mapped_column(ForeignKey("depot.category.id", ondelete="CASCADE"))
        height: Mapped[int]
        depot: Mapped[Depot] = relationship(back_populates="shelves")

    class Country(Base):
        """Has no events."""

        __tablename__ = "country"
        code: Mapped[str] = mapped_column(CHAR(2), primary_key=True)
        name: Mapped[str]

    Product.sold = column_property(
        select(func.coalesce(func.sum(Line.quantity), 0)).where(Line.product_id == Product.id).scalar_subquery(),
        deferred=True,
    )
    configure_mappers()
    found = {name: value for name, value in locals().items() if isinstance(value, type)}
    return SimpleNamespace(**found, State=State, product_tag=product_tag, metadata=Base.metadata)


@dataclass
class Commit:
    """One commit of the shop's life: where it is in the log and in time, and the schemas its copies lie in."""

    number: int
    position: int
    time: dt.datetime

    @property
    def map(self) -> dict[str | None, str]:
        return {None: f"past_{self.number}", "depot": f"past_{self.number}_depot"}


@dataclass
class Life:
    """A shop that lives: random work on its tables, and a copy of them after each commit."""

    engine: Engine
    shop: SimpleNamespace
    random: random.Random
    commits: list[Commit] = field(default_factory=list)
    counter: int = 0

    def next(self) -> int:
        self.counter += 1
        return self.counter

    def remember(self) -> Commit:
        """Copy the tables as they stand."""
        number = len(self.commits)
        with self.engine.begin() as connection:
            for schema in (f"past_{number}", f"past_{number}_depot"):
                connection.execute(text(f"CREATE SCHEMA {schema}"))
            for table in self.shop.metadata.sorted_tables:
                if not table.info.get("lithair.library"):
                    suffix = "_depot" if table.schema == "depot" else ""
                    preparer = connection.dialect.identifier_preparer
                    connection.execute(
                        text(
                            f"CREATE TABLE past_{number}{suffix}.{preparer.quote(table.name)} "
                            f"AS TABLE {preparer.format_table(table)}"
                        )
                    )
            position = connection.execute(text("SELECT coalesce(max(position), 0) FROM lithair_events")).scalar_one()
            time = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
        self.commits.append(Commit(number, position, time))
        return self.commits[-1]

    def oracle(self, commit: Commit) -> Session:
        """A session on the copies of a commit."""
        return Session(self.engine.execution_options(schema_translate_map=commit.map))

    # ------------------------------------------------------------------------------------------------ work

    def work(self, *, steps: int = 6) -> None:
        """Do something random in a transaction of its own, and remember the outcome."""
        with Session(self.engine) as session:
            for _ in range(steps):
                self.random.choice(WORK)(self, session)
                session.flush()
            session.commit()
        self.remember()

    def some(self, session: Session, class_: Any) -> Any:
        found = session.scalars(select(class_)).unique().all()
        return self.random.choice(found) if found else None


def _add_category(life: Life, session: Session) -> None:
    parent = life.some(session, life.shop.Category)
    number = life.next()
    session.add(life.shop.Category(id=number, name=f"category {number}", parent=parent))


def _product_values(life: Life) -> dict[str, Any]:
    pick = life.random
    return {
        "id": life.next(),
        "name": pick.choice(["anvil", "rocket", "Zebra", "étoile", "ball", "Ball", "o'neil", "50%"]),
        "price": Decimal(pick.randint(0, 100_000)) / 100,
        "stock": pick.randint(0, 100),
        "weight": pick.choice([None, 0.0, -0.0, 1.5, 1e300, float("inf")]),
        "labels": pick.sample(["new", "old", "a,b", '"q"', ""], pick.randint(0, 3)),
        "facts": pick.choice([None, {}, {"a": 1, "b": [1, None, {"c": "x"}]}, [1, 2], "text", 3.5, {"a": 2}]),
        "state": pick.choice(list(State)),
        "added_at": dt.datetime(2024, pick.randint(1, 12), pick.randint(1, 28), 12, 30, 1, 250_000, tzinfo=UTC),
    }


def _add_product(life: Life, session: Session) -> None:
    values = _product_values(life)
    category = life.some(session, life.shop.Category)
    if life.random.random() < 0.5:
        session.add(life.shop.Product(**values, category=category))
    else:
        pages = life.random.randint(1, 900)
        session.add(life.shop.Book(**values, category=category, isbn=life.random.choice([None, "x-1"]), pages=pages))


def _change_product(life: Life, session: Session) -> None:
    product = life.some(session, life.shop.Product)
    if product is not None:
        values = _product_values(life)
        for name in life.random.sample(sorted(values), 3):
            if name != "id":
                setattr(product, name, values[name])
        product.category = life.some(session, life.shop.Category)


def _tag_product(life: Life, session: Session) -> None:
    shop = life.shop
    product, tag = life.some(session, shop.Product), life.some(session, shop.Tag)
    if tag is None or life.random.random() < 0.4:
        tag = shop.Tag(name=f"tag {life.next()}", colour=life.random.choice(["r", "gr", "blu"]))
    if product is not None:
        if tag in product.tags:
            product.tags.remove(tag)
        else:
            product.tags.append(tag)


def _rename_tag(life: Life, session: Session) -> None:
    tag = life.some(session, life.shop.Tag)
    if tag is not None:
        session.execute(
            update(life.shop.Tag).where(life.shop.Tag.name == tag.name).values(name=f"tag {life.next()}"),
            execution_options={"synchronize_session": False},
        )
        session.expire_all()


def _add_customer(life: Life, session: Session) -> None:
    values = {
        "id": life.next(),
        "name": f"customer {life.counter}",
        "credit": Decimal(life.random.randint(0, 900)) / 100,
    }
    session.add(life.shop.Customer(**values) if life.random.random() < 0.6 else life.shop.Company(**values, vat="FR 1"))


def _add_order(life: Life, session: Session) -> None:
    shop, pick = life.shop, life.random
    customer = life.some(session, shop.Customer)
    if customer is None:
        return
    order = shop.Order(
        id=UUID(int=pick.getrandbits(128)),
        customer=customer,
        placed_at=dt.datetime(2025, pick.randint(1, 12), 3, tzinfo=UTC),
        note=pick.choice([None, "", "fragile"]),
    )
    session.add(order)
    for number in range(pick.randint(0, 3)):
        product = life.some(session, shop.Product)
        if product is not None:
            line = shop.Line(number=number, product_id=product.id, quantity=pick.randint(1, 9), price=product.price)
            order.lines.append(line)
            for _ in range(pick.randint(0, 2)):
                line.parcels.append(shop.Parcel(id=life.next(), weight=pick.random()))


def _change_lines(life: Life, session: Session) -> None:
    Line = life.shop.Line
    session.execute(
        update(Line).where(Line.quantity < life.random.randint(1, 6)).values(quantity=Line.quantity + 1),
        execution_options={"synchronize_session": False},
    )
    session.expire_all()


def _delete_something(life: Life, session: Session) -> None:
    shop = life.shop
    match life.random.randint(0, 4):
        case 0 if (customer := life.some(session, shop.Customer)) is not None:
            session.delete(customer)
        case 1 if (order := life.some(session, shop.Order)) is not None:
            session.execute(delete(shop.Order).where(shop.Order.id == order.id))
        case 2 if (tag := life.some(session, shop.Tag)) is not None:
            session.delete(tag)
        case 3:
            free = select(shop.Product.id).where(~shop.Product.lines.any()).limit(1)
            session.execute(
                delete(shop.Product.__table__).where(shop.Product.__table__.c.id.in_(free.scalar_subquery()))
            )
        case _:
            session.execute(delete(shop.Depot).where(shop.Depot.id % 3 == 0))
    session.flush()
    session.expire_all()


def _pay(life: Life, session: Session) -> None:
    number, amount = life.next(), Decimal(life.random.randint(1, 99))
    if life.random.random() < 0.5:
        session.add(life.shop.Card(id=number, amount=amount, digits="1234"))
    else:
        session.add(life.shop.Cash(id=number, amount=amount, till=life.random.randint(1, 3)))


def _stock_depot(life: Life, session: Session) -> None:
    shop = life.shop
    depot = life.some(session, shop.Depot)
    if depot is None or life.random.random() < 0.4:
        depot = shop.Depot(id=life.next(), place=f"place {life.counter}", category=life.some(session, shop.Category))
        session.add(depot)
    depot.shelves.append(shop.Shelf(id=life.next(), height=life.random.randint(1, 5)))
    depot.place += "!"


def _bring_back(life: Life, session: Session) -> None:
    """A key that was deleted comes again."""
    shop = life.shop
    number = life.random.randint(1, max(life.counter, 1))
    if session.get(shop.Customer, number) is None:
        session.execute(insert(shop.Customer).values(id=number, kind="person", name="again", credit=None))


WORK: Final[list[Callable[[Life, Session], None]]] = [
    _add_category,
    _add_product,
    _add_product,
    _change_product,
    _change_product,
    _tag_product,
    _tag_product,
    _rename_tag,
    _add_customer,
    _add_order,
    _add_order,
    _change_lines,
    _delete_something,
    _pay,
    _stock_depot,
    _bring_back,
]


@pytest.fixture
def shop() -> SimpleNamespace:
    """The shop's classes."""
    return make_shop()


@pytest.fixture
def life(engine: Engine, shop: SimpleNamespace) -> Life:
    """A shop that has just opened, with nothing in it."""
    with engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA depot"))
    create_all(engine, shop.metadata)
    made = Life(engine, shop, random.Random(20_240_917))
    made.remember()
    return made


@pytest.fixture
def long_life(life: Life) -> Life:
    """A shop after some commits."""
    for _ in range(8):
        life.work(steps=9)
    return life
