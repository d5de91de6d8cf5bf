"""``@emits``: the change that a method makes is the event it names, with its arguments as the payload."""

from __future__ import annotations

import asyncio
import datetime as dt
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from sqlalchemy import ForeignKey, event, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, object_session, relationship

from lithair_sqla import EventSourced, emits, persistence, record
from lithair_sqla.errors import CommandError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from sqlalchemy import URL, Engine


class Base(DeclarativeBase):
    pass


class Channel(Enum):
    WEB = "web"


@dataclass
class Money:
    amount: Decimal
    currency: str


class Product(EventSourced, Base):
    __tablename__ = "product"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(default="chair", info=persistence(event="ProductRenamed"))
    stock: Mapped[int] = mapped_column(default=0)
    updates: Mapped[int] = mapped_column(default=0)
    shop_id: Mapped[int | None] = mapped_column(ForeignKey("shop.id"))
    shop: Mapped[Shop | None] = relationship(back_populates="products")

    @emits("ProductSold")
    def sell(self, quantity: int, *, note: str = "counter") -> int:  # noqa: ARG002 - the payload has it
        """Take some out of stock."""
        self.stock -= quantity
        return self.stock

    @emits("ProductLooked")
    def look(self) -> None:
        """Change nothing."""

    @emits("ProductMoved")
    def move(self, shop: Shop | None, at: dt.date | None = None) -> None:  # noqa: ARG002 - the payload has it
        self.shop = shop

    @emits("ProductTold")
    def tell(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - the payload has them
        self.updates += 1

    @emits("ProductDiscontinued")
    def discontinue(self) -> None:
        session = object_session(self)
        assert session is not None
        session.delete(self)

    @emits("ProductCounted")
    def count(self) -> None:
        """Let the database do the sum."""
        self.stock = Product.stock + 1

    @emits("ProductRenumbered")
    def renumber(self, new_id: int) -> None:
        self.id = new_id

    @emits("ProductTwice")
    def twice(self) -> None:
        """Change in two flushes."""
        self.stock = 1
        session = object_session(self)
        assert session is not None
        session.scalars(select(Product).where(Product.stock == -1)).all()
        self.name = "table"

    @emits("ProductSoldOut")
    def sell_out(self) -> None:
        self.name = "gone"
        self.sell(self.stock)
        self.updates += 1

    @emits("ProductOrdered")
    async def order(self, quantity: int) -> int:
        await asyncio.sleep(0)
        self.stock += quantity
        return self.stock


class Shop(EventSourced, Base):
    __tablename__ = "shop"
    id: Mapped[int] = mapped_column(primary_key=True)
    open: Mapped[bool] = mapped_column(default=True)
    products: Mapped[list[Product]] = relationship(back_populates="shop")

    @emits("ShopClosed")
    def close(self) -> None:
        self.open = False
        for product in self.products:
            product.sell(product.stock, note="closing")

    @emits("ShopStocked")
    def stock(self, products: list[Product]) -> None:
        self.products.extend(products)


class Person(EventSourced, Base):
    __tablename__ = "person"
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "person"}  # noqa: RUF012
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    name: Mapped[str] = mapped_column(default="ana")


class Manager(Person):
    __tablename__ = "manager"
    __mapper_args__ = {"polymorphic_identity": "manager"}  # noqa: RUF012
    id: Mapped[int] = mapped_column(ForeignKey("person.id"), primary_key=True)
    budget: Mapped[int] = mapped_column(default=0)

    @emits("BudgetGiven")
    def give(self, amount: int) -> None:
        self.budget += amount

    @emits("Promoted")
    def promote(self, name: str) -> None:
        self.name = name
        self.budget += 1

    @emits("Left")
    def leave(self) -> None:
        session = object_session(self)
        assert session is not None
        session.delete(self)


class Counting:
    """A class that is not event-sourced."""

    @emits("Counted")
    def count(self) -> None:
        pytest.fail("the method ran")


def product(session: Session, **values: Any) -> Product:
    """A product that is committed."""
    made = Product(**values)
    session.add(made)
    session.commit()
    return made


def named(log: Any, stream: str, key: object) -> list[tuple[str, str, Any, Any]]:
    """Events as (kind, type, data, payload), without the first."""
    return [(found.kind, found.type, found.data, found.payload) for found in log(stream, str(key))][1:]


def test_the_change_a_method_makes_bears_its_name_and_arguments(session: Session, log: Any) -> None:
    chair = product(session, stock=10)

    assert chair.sell(3) == 7
    session.commit()

    assert named(log, "Product", chair.id) == [("u", "ProductSold", {"stock": 7}, {"quantity": 3, "note": "counter"})]


def test_a_call_costs_one_statement_beside_its_flush(
    engine: Engine, session: Session, count_statements: Callable[[Engine], AbstractContextManager[list[str]]]
) -> None:
    chair = product(session, stock=10)
    chair.sell(1)
    session.commit()
    assert chair.stock == 9

    with count_statements(engine) as counted:
        chair.sell(3)
        session.commit()

    assert len(counted) == 2, counted


def test_changes_before_and_after_a_call_are_events_of_their_own(session: Session, log: Any) -> None:
    chair = product(session, stock=10)

    chair.updates = 1
    chair.sell(3)
    chair.name = "table"
    chair.updates = 2
    session.commit()

    assert named(log, "Product", chair.id) == [
        ("u", "ProductUpdated", {"updates": 1}, None),
        ("u", "ProductSold", {"stock": 7, "name": "table", "updates": 2}, {"quantity": 3, "note": "counter"}),
    ]


def test_a_change_after_a_call_that_was_flushed_is_not_its(session: Session, log: Any) -> None:
    chair = product(session, stock=10)

    chair.sell(3)
    session.flush()
    chair.name = "table"
    session.commit()

    assert [found[:3] for found in named(log, "Product", chair.id)] == [
        ("u", "ProductSold", {"stock": 7}),
        ("u", "ProductRenamed", {"name": "table"}),
    ]


def test_each_call_on_an_object_has_its_change_to_itself(session: Session, log: Any) -> None:
    chair = product(session, stock=10)

    chair.sell(1)
    chair.sell(2)
    chair.tell("x")
    session.commit()

    assert named(log, "Product", chair.id) == [
        ("u", "ProductSold", {"stock": 9}, {"quantity": 1, "note": "counter"}),
        ("u", "ProductSold", {"stock": 7}, {"quantity": 2, "note": "counter"}),
        ("u", "ProductTold", {"updates": 1}, {"args": ["x"]}),
    ]


def test_calls_on_different_objects_share_a_flush(session: Session, log: Any) -> None:
    chair, table = product(session, stock=10), product(session, stock=20)

    chair.sell(1)
    table.sell(2)
    session.commit()

    assert named(log, "Product", chair.id)[0][2] == {"stock": 9}
    assert named(log, "Product", table.id)[0][3] == {"quantity": 2, "note": "counter"}


def test_a_call_that_changes_nothing_is_a_note(session: Session, log: Any) -> None:
    chair = product(session)

    chair.look()
    session.commit()

    assert named(log, "Product", chair.id) == [("n", "ProductLooked", {}, {})]


def test_a_call_that_changes_nothing_does_not_take_the_name_of_an_earlier_change(session: Session, log: Any) -> None:
    chair = product(session, stock=5)
    chair.stock = 6
    session.flush()

    chair.look()
    chair.sell(0)
    session.execute(update(Product).where(Product.id == chair.id).values(updates=9))
    chair.look()
    session.commit()

    assert [found[:3] for found in named(log, "Product", chair.id)] == [
        ("u", "ProductUpdated", {"stock": 6}),
        ("n", "ProductLooked", {}),
        ("n", "ProductSold", {}),
        ("u", "ProductUpdated", {"updates": 9}),
        ("n", "ProductLooked", {}),
    ]


def test_an_update_that_comes_to_nothing_does_not_name_what_a_bulk_statement_did(session: Session, log: Any) -> None:
    chair = product(session, stock=5)
    session.execute(update(Product).where(Product.id == chair.id).values(stock=7))

    chair.tell()
    chair.updates = 0
    session.commit()

    assert [found[:3] for found in named(log, "Product", chair.id)] == [
        ("u", "ProductUpdated", {"stock": 7}),
        ("n", "ProductTold", {}),
    ]


def test_a_sql_expression_is_a_change(session: Session, log: Any) -> None:
    chair = product(session, stock=5)

    chair.count()
    session.commit()

    assert named(log, "Product", chair.id) == [("u", "ProductCounted", {"stock": 6}, {})]


def test_the_first_call_on_a_new_object_names_its_create(session: Session, log: Any) -> None:
    chair = Product(stock=10)
    chair.sell(1)
    chair.sell(2)
    session.add(chair)
    chair.sell(3)
    session.commit()

    assert [(found.kind, found.type, found.payload) for found in log("Product", str(chair.id))] == [
        ("c", "ProductSold", {"quantity": 1, "note": "counter"}),
        ("n", "ProductSold", {"quantity": 2, "note": "counter"}),
        ("u", "ProductSold", {"quantity": 3, "note": "counter"}),
    ]


def test_a_call_on_a_pending_object_names_its_create(session: Session, log: Any) -> None:
    chair = Product(stock=10)
    session.add(chair)
    chair.sell(1)
    session.commit()

    (created,) = log("Product", str(chair.id))
    assert (created.kind, created.type, created.data["stock"]) == ("c", "ProductSold", 9)


def test_a_call_on_an_object_that_never_enters_a_session_is_forgotten(session: Session, log: Any) -> None:
    chair = Product(stock=10)
    chair.sell(1)
    del chair
    other = product(session)

    assert named(log, "Product", other.id) == []


def test_a_method_that_deletes_names_the_delete(session: Session, log: Any) -> None:
    chair = product(session)
    key = chair.id

    chair.discontinue()
    session.commit()

    assert named(log, "Product", key) == [("d", "ProductDiscontinued", {}, {})]


def test_a_method_that_changes_the_key_names_the_create_under_the_new_one(session: Session, log: Any) -> None:
    chair = product(session)
    old = chair.id

    chair.renumber(old + 1_000_000)
    session.commit()

    assert named(log, "Product", old) == [("d", "ProductDeleted", {}, None)]
    (created,) = log("Product", str(old + 1_000_000))
    assert (created.kind, created.type, created.payload) == ("c", "ProductRenumbered", {"new_id": old + 1_000_000})


def test_arguments_are_bound_by_name_with_their_defaults(session: Session, log: Any) -> None:
    chair = product(session)
    day = dt.date(2024, 2, 29)

    chair.tell(1, "two", day=day, price=Decimal("1.50"), channel=Channel.WEB, nothing=None, deep={"a": [True, 0.5]})
    session.commit()

    assert named(log, "Product", chair.id)[0][3] == {
        "args": [1, "two"],
        "day": "2024-02-29",
        "price": 1.5,
        "channel": "web",
        "nothing": None,
        "deep": {"a": [True, 0.5]},
    }


def test_a_keyword_that_is_called_like_the_positional_ones_is_not_lost(session: Session, log: Any) -> None:
    chair = product(session)

    chair.tell("positional", args="keyword")
    session.commit()

    assert named(log, "Product", chair.id)[0][3] == {"args": ["positional"], "options": {"args": "keyword"}}


def test_mapped_objects_stand_as_their_keys_and_dataclasses_as_objects(session: Session, log: Any) -> None:
    chair = product(session)
    shop = Shop()
    session.add(shop)
    session.commit()
    manager = Manager(name="ben")

    chair.move(shop, at=dt.date(2024, 1, 1))
    chair.tell(price=Money(Decimal("2.5"), "EUR"), asked=[chair, {"by": manager}])
    session.add(manager)
    session.commit()

    assert [found[3] for found in named(log, "Product", chair.id)] == [
        {"shop": shop.id, "at": "2024-01-01"},
        {"price": {"amount": 2.5, "currency": "EUR"}, "asked": [chair.id, {"by": manager.id}]},
    ]


def test_an_object_that_is_new_stands_as_the_key_it_gets(session: Session, log: Any) -> None:
    shop = Shop()
    session.add(shop)
    session.commit()

    shop.stock([Product(stock=1), Product(stock=2)])
    session.commit()

    (stocked,) = named(log, "Shop", shop.id)
    assert stocked == ("n", "ShopStocked", {}, {"products": sorted(found.id for found in shop.products)})


def test_an_argument_is_taken_when_the_call_is_made(session: Session, log: Any) -> None:
    chair = product(session)
    notes = ["first"]

    chair.tell(notes)
    notes.append("second")
    session.commit()

    assert named(log, "Product", chair.id)[0][3] == {"args": [["first"]]}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (object(), "object has no form"),
        ({1, 2}, "set has no form"),
        ("a\0b", "NUL"),
        (float("nan"), "nan is no number"),
        (Decimal("Infinity"), "Infinity is no number"),
        ({1: 2}, "key 1 is not a string"),
        ("\ud800", "surrogates"),
    ],
)
def test_an_argument_that_is_not_json_is_refused_before_the_method_runs(
    session: Session, value: Any, reason: str
) -> None:
    chair = product(session)

    with pytest.raises(CommandError, match=reason):
        chair.tell(value)

    assert chair.updates == 0


def test_arguments_that_do_not_fit_are_pythons_own_error(session: Session) -> None:
    chair = product(session)

    with pytest.raises(TypeError, match=r"sell\(\) missing 1 required positional argument: 'quantity'"):
        chair.sell()  # type: ignore[call-arg]


def test_a_relationship_alone_is_a_change(session: Session, log: Any) -> None:
    chair = product(session)
    shop = Shop()
    session.add(shop)
    session.commit()

    chair.move(shop)
    session.commit()

    assert [found[:3] for found in named(log, "Product", chair.id)] == [("u", "ProductMoved", {"shop_id": shop.id})]


def test_a_call_inside_a_call_names_its_own_object_and_its_cause(session: Session, log: Any) -> None:
    shop = Shop(products=[Product(stock=1), Product(stock=2)])
    session.add(shop)
    session.commit()

    shop.close()
    session.commit()

    closed = log("Shop", str(shop.id))[-1]
    assert (closed.type, closed.data) == ("ShopClosed", {"open": False})
    for item in shop.products:
        sold = log("Product", str(item.id))[-1]
        assert (sold.type, sold.data) == ("ProductSold", {"stock": 0})
        assert sold.causation_id == event_id(session, closed.position)


def test_a_call_inside_a_call_on_the_same_object_is_flushed_first(session: Session, log: Any) -> None:
    chair = product(session, stock=4)

    chair.sell_out()
    session.commit()

    renamed, sold, rest = log("Product", str(chair.id))[1:]
    assert (renamed.type, renamed.data, renamed.payload) == ("ProductSoldOut", {"name": "gone"}, {})
    assert (sold.type, sold.data) == ("ProductSold", {"stock": 0})
    assert (rest.type, rest.data, rest.payload) == ("ProductUpdated", {"updates": 1}, None)
    cause = event_id(session, renamed.position)
    assert (sold.causation_id, rest.causation_id) == (cause, cause)


def test_a_flush_in_the_middle_of_a_method_is_part_of_it(session: Session, log: Any) -> None:
    chair = product(session, stock=4)

    chair.twice()
    session.commit()

    first, second = log("Product", str(chair.id))[1:]
    assert (first.type, first.data, first.payload) == ("ProductTwice", {"stock": 1}, {})
    assert (second.type, second.data, second.payload) == ("ProductRenamed", {"name": "table"}, None)
    assert second.causation_id == event_id(session, first.position)


def test_what_a_method_left_behind_is_not_taken_by_the_next_call(session: Session, log: Any) -> None:
    chair = product(session, stock=4)

    chair.twice()
    chair.look()
    chair.sell(1)
    session.commit()

    assert [found[1] for found in named(log, "Product", chair.id)] == [
        "ProductTwice",
        "ProductRenamed",
        "ProductLooked",
        "ProductSold",
    ]


def event_id(session: Session, position: int) -> UUID:
    found: UUID = session.execute(
        text("SELECT event_id FROM lithair_event_log WHERE position = :position"), {"position": position}
    ).scalar_one()
    return found


def test_joined_inheritance_names_the_table_that_changed(session: Session, log: Any) -> None:
    ana = Manager()
    session.add(ana)
    session.commit()

    ana.give(5)
    session.commit()

    assert named(log, "Manager", ana.id) == [("u", "BudgetGiven", {"budget": 5}, {"amount": 5})]
    assert named(log, "Person", ana.id) == []


def test_joined_inheritance_names_the_base_table_first(session: Session, log: Any) -> None:
    ana = Manager()
    session.add(ana)
    session.commit()

    ana.promote("ben")
    session.flush()
    ana.give(5)
    session.commit()

    assert named(log, "Person", ana.id) == [("u", "Promoted", {"name": "ben"}, {"name": "ben"})]
    assert named(log, "Manager", ana.id) == [
        ("u", "ManagerUpdated", {"budget": 1}, None),
        ("u", "BudgetGiven", {"budget": 6}, {"amount": 5}),
    ]
    assert log("Manager", str(ana.id))[1].causation_id == event_id(session, log("Person", str(ana.id))[1].position)


def test_joined_inheritance_a_delete_inside_a_method(session: Session, log: Any) -> None:
    ana = Manager()
    session.add(ana)
    session.commit()
    key = ana.id

    ana.leave()
    session.commit()

    assert named(log, "Person", key) == [("d", "Left", {}, {})]
    assert named(log, "Manager", key) == [("d", "ManagerDeleted", {}, None)]


def test_an_async_method_emits_like_any_other(database_url: URL, session: Session, log: Any) -> None:
    key = product(session, stock=4).id

    async def use() -> int:
        engine = create_async_engine(database_url)
        async with AsyncSession(engine) as opened:
            chair = await opened.get_one(Product, key)
            chair.updates = 1
            left = await chair.order(2)
            left = await chair.order(3)
            await opened.commit()
        await engine.dispose()
        return left

    assert asyncio.run(use()) == 9
    assert named(log, "Product", key) == [
        ("u", "ProductUpdated", {"updates": 1}, None),
        ("u", "ProductOrdered", {"stock": 6}, {"quantity": 2}),
        ("u", "ProductOrdered", {"stock": 9}, {"quantity": 3}),
    ]


def test_a_method_in_an_async_session_needs_no_greenlet_where_nothing_is_pending(
    database_url: URL, session: Session, log: Any
) -> None:
    key = product(session, stock=4).id

    async def use() -> None:
        engine = create_async_engine(database_url)
        async with AsyncSession(engine) as opened:
            chair = await opened.get_one(Product, key)
            chair.sell(1)
            with pytest.raises(CommandError, match=r"await session\.flush\(\)"):
                chair.sell(1)
            await opened.flush()
            chair.sell(1)
            await opened.run_sync(lambda _: chair.sell(1))
            await opened.commit()
        await engine.dispose()

    asyncio.run(use())
    assert [found[2] for found in named(log, "Product", key)] == [{"stock": 3}, {"stock": 2}, {"stock": 1}]


def test_a_second_call_inside_a_flush_is_refused_in_words(session: Session) -> None:
    chair = product(session, stock=4)

    def meddle(_: Session, *__: Any) -> None:
        chair.tell()
        chair.tell()

    event.listen(session, "before_flush", meddle)
    chair.stock = 5
    with pytest.raises(CommandError, match="cannot be done inside a flush"):
        session.flush()
    event.remove(session, "before_flush", meddle)


def test_a_call_made_by_a_listener_of_the_flush_is_named(session: Session, log: Any) -> None:
    chair, other = product(session, stock=4), product(session)

    def meddle(_: Session, *__: Any) -> None:
        other.tell(by="listener")

    event.listen(session, "before_flush", meddle, once=True)
    chair.stock = 5
    session.commit()

    assert [found[1:] for found in named(log, "Product", other.id)] == [
        ("ProductTold", {"updates": 1}, {"by": "listener"})
    ]


def test_calls_made_by_listeners_of_the_commit_are_sent(session: Session, log: Any) -> None:
    chair = product(session, stock=4)

    def last_words(_: Session) -> None:
        chair.look()
        record(chair, "Committed")
        chair.tell()

    event.listen(session, "before_commit", last_words, once=True)
    chair.stock = 5
    session.commit()

    assert [found[1] for found in named(log, "Product", chair.id)] == [
        "ProductUpdated",
        "ProductLooked",
        "Committed",
        "ProductTold",
    ]


def test_a_call_made_by_a_listener_after_the_flush_of_a_commit_is_sent(session: Session, log: Any) -> None:
    chair = product(session, stock=4)

    event.listen(session, "after_flush", lambda *_: record(chair, "Flushed"), once=True)
    chair.stock = 5
    session.commit()

    assert [found[1] for found in named(log, "Product", chair.id)] == ["ProductUpdated", "Flushed"]


def test_a_users_trigger_that_writes_the_row_again_does_not_take_the_name(
    session: Session, run: Callable[..., Any], log: Any
) -> None:
    run("""CREATE FUNCTION count_updates() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           UPDATE product SET updates = updates + 1 WHERE id = new.id; RETURN NULL; END $$""")
    run("""CREATE TRIGGER z_count AFTER UPDATE OF stock ON product FOR EACH ROW EXECUTE FUNCTION count_updates()""")
    chair = product(session, stock=4)

    chair.sell(1)
    session.commit()
    run("DROP TRIGGER z_count ON product")

    assert [found[:3] for found in named(log, "Product", chair.id)] == [
        ("u", "ProductSold", {"stock": 3}),
        ("u", "ProductUpdated", {"updates": 1}),
    ]


def test_a_thousand_named_events_are_one_flush_and_one_call(
    engine: Engine,
    session: Session,
    count_statements: Callable[[Engine], AbstractContextManager[list[str]]],
    log: Any,
) -> None:
    chairs = [Product(stock=10) for _ in range(1000)]
    session.add_all(chairs)
    session.commit()
    session.scalars(select(Product).where(Product.id.in_([chair.id for chair in chairs]))).all()

    with count_statements(engine) as counted:
        for chair in chairs:
            chair.sell(1)
        session.commit()

    assert len(counted) == 2, counted
    with engine.connect() as connection:
        found = connection.execute(
            text("SELECT count(*) FROM lithair_events WHERE type = 'ProductSold' AND data = '{\"stock\": 9}'")
        ).scalar_one()
    assert found >= 1000


def test_a_call_that_is_rolled_back_leaves_nothing(session: Session, log: Any) -> None:
    chair = product(session, stock=10)

    chair.sell(1)
    session.flush()
    chair.look()
    session.rollback()
    chair.updates = 0
    session.commit()

    assert named(log, "Product", chair.id) == []


@pytest.mark.parametrize("decorated", [property(lambda _: 1), staticmethod(len), classmethod(repr), int, "method"])
def test_what_is_not_a_method_cannot_emit(decorated: Any) -> None:
    with pytest.raises(CommandError, match="cannot decorate"):
        emits("Something")(decorated)


def test_a_generator_cannot_emit() -> None:
    def generate(_: Product) -> Any:
        yield 1

    async def generate_async(_: Product) -> Any:
        yield 1

    for generator in (generate, generate_async):
        with pytest.raises(CommandError, match="a generator"):
            emits("Something")(generator)


@pytest.mark.parametrize("type_", ["", "x" * 201, "a\0b", "\ud800", 7, None])
def test_a_type_that_cannot_be_stored_is_refused_at_once(type_: Any) -> None:
    with pytest.raises(CommandError, match="1 to 200 characters"):
        emits(type_)


def test_a_class_that_is_not_event_sourced_is_refused_at_the_call() -> None:
    with pytest.raises(CommandError, match="Counting is not an event-sourced class"):
        Counting().count()


def test_a_detached_object_is_refused(session: Session) -> None:
    chair = product(session)
    session.expunge(chair)

    with pytest.raises(CommandError, match="is detached"):
        chair.sell(1)


def test_a_method_keeps_its_name_its_text_and_its_signature() -> None:
    assert Product.sell.__name__ == "sell"
    assert Product.sell.__doc__ == "Take some out of stock."
    assert str(inspect.signature(Product.sell)) == "(self, quantity: 'int', *, note: 'str' = 'counter') -> 'int'"
    assert inspect.iscoroutinefunction(Product.order)
