"""What a session on the past cannot do: each a clear error, and the live session goes on."""

# ruff: noqa: ARG005, N806 - attempts have one shape; capital letters stand for classes

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Sequence, delete, func, insert, literal_column, select, table, text, true, update
from sqlalchemy import column as sql_column
from sqlalchemy.orm import Session

from lithair_sqla import as_of
from lithair_sqla.errors import OptionError, PastSessionError
from lithair_sqla.model.travel import PastSession

from .conftest import Life

Attempt = Callable[[PastSession, Any], Any]

WRITES: dict[str, Attempt] = {
    "add": lambda past, shop: past.add(shop.Tag(name="x", colour="x")),
    "add_all": lambda past, shop: past.add_all([shop.Tag(name="x", colour="x")]),
    "add what it loaded": lambda past, shop: past.add(past.query(shop.Category).first()),
    "delete": lambda past, shop: past.delete(past.query(shop.Category).first()),
    "merge": lambda past, shop: past.merge(shop.Category(id=1, name="x")),
    "flush": lambda past, shop: past.flush(),
    "commit": lambda past, shop: past.commit(),
    "rollback": lambda past, shop: past.rollback(),
    "begin": lambda past, shop: past.begin(),
    "begin_nested": lambda past, shop: past.begin_nested(),
    "prepare": lambda past, shop: past.prepare(),
    "connection": lambda past, shop: past.connection(),
    "bulk_save_objects": lambda past, shop: past.bulk_save_objects([shop.Category(id=1, name="x")]),
    "bulk_insert_mappings": lambda past, shop: past.bulk_insert_mappings(shop.Category, [{"id": 1}]),
    "bulk_update_mappings": lambda past, shop: past.bulk_update_mappings(shop.Category, [{"id": 1}]),
    "insert": lambda past, shop: past.execute(insert(shop.Category).values(id=900, name="x")),
    "insert returning": lambda past, shop: past.scalars(
        insert(shop.Category).values(id=900, name="x").returning(shop.Category)
    ),
    "update": lambda past, shop: past.execute(update(shop.Category).values(name="x")),
    "delete statement": lambda past, shop: past.execute(delete(shop.Category)),
    "core update": lambda past, shop: past.execute(update(shop.Category.__table__).values(name="x")),
    "query update": lambda past, shop: past.query(shop.Category).update({"name": "x"}),
    "query delete": lambda past, shop: past.query(shop.Category).delete(),
    "update in an expression": lambda past, shop: past.execute(
        select(update(shop.Category).values(name="x").returning(shop.Category.id).cte("written"))
    ),
    "from_statement of an update": lambda past, shop: past.execute(
        select(shop.Category).from_statement(update(shop.Category).values(name="x").returning(shop.Category))
    ),
    "a sequence": lambda past, shop: past.execute(select(Sequence("lithair_position").next_value())),
    "append to a collection": lambda past, shop: [
        parent.children.append(shop.Category(id=901, name="x")) for parent in past.query(shop.Category).all()
    ],
}

READS: dict[str, Attempt] = {
    "text": lambda past, shop: past.execute(text("SELECT 1")),
    "text columns": lambda past, shop: past.execute(text("SELECT id FROM category").columns(sql_column("id"))),
    "from_statement of text": lambda past, shop: past.scalars(
        select(shop.Category).from_statement(text("SELECT * FROM category"))
    ).all(),
    "text in a condition": lambda past, shop: past.execute(
        select(shop.Category).where(text("id IN (SELECT category_id FROM product)"))
    ),
    "literal column": lambda past, shop: past.execute(select(literal_column("(SELECT count(*) FROM product)"))),
    "text as a table": lambda past, shop: past.execute(select(func.count()).select_from(text("product"))),
    "text for update": lambda past, shop: past.execute(select(shop.Category.id).suffix_with("FOR  NO KEY UPDATE")),
    "a hint for update": lambda past, shop: past.execute(select(shop.Category.id).with_statement_hint("FOR SHARE")),
    "a bare table": lambda past, shop: past.execute(select(table("category", sql_column("id")))),
    "for update": lambda past, shop: past.execute(select(shop.Category).with_for_update()),
    "get for update": lambda past, shop: past.get(shop.Category, 1, with_for_update=True),
    "refresh for update": lambda past, shop: past.refresh(past.query(shop.Category).first(), with_for_update=True),
    "for update in a subquery": lambda past, shop: past.execute(
        select(select(shop.Category.id).with_for_update().subquery())
    ),
    "tablesample": lambda past, shop: past.execute(select(shop.Category.__table__.tablesample(50))),
    "a table without events": lambda past, shop: past.query(shop.Country).all(),
    "joined to one": lambda past, shop: past.execute(select(shop.Tag.name, shop.Country.name)),
    "one in a subquery": lambda past, shop: past.execute(
        select(shop.Tag.name).where(shop.Tag.colour.in_(select(shop.Country.code)))
    ),
    "the library's own": lambda past, shop: past.execute(select(shop.metadata.tables["lithair_events"].c.position)),
}


@pytest.fixture
def small_life(life: Life) -> Life:
    with Session(life.engine) as session:
        session.add_all([life.shop.Category(id=1, name="one"), life.shop.Country(code="FR", name="France")])
        session.commit()
    return life


@pytest.mark.parametrize("attempts", [WRITES, READS], ids=["writes", "reads"])
def test_a_past_session_refuses(small_life: Life, attempts: dict[str, Attempt]) -> None:
    shop = small_life.shop
    not_refused = []
    with Session(small_life.engine) as live:
        mine = shop.Category(id=2, name="two")
        live.add(mine)
        live.flush()
        for name, attempt in attempts.items():
            with as_of(live, timedelta(0)) as past:
                try:
                    attempt(past, shop)
                except PastSessionError:
                    continue
                not_refused.append(name)
        assert not_refused == []
        # Neither its transaction nor its objects have suffered.
        assert live.get(shop.Category, 2) is mine
        live.commit()
        assert live.query(shop.Category.name).order_by(shop.Category.id).all() == [("one",), ("two",)]


def test_a_table_without_events_is_read_as_it_is_now_where_live_names_it(small_life: Life) -> None:
    shop = small_life.shop
    with Session(small_life.engine) as live:
        position = small_life.remember().position
        live.get_one(shop.Country, "FR").name = "Gaul"
        live.get_one(shop.Category, 1).name = "uno"
        live.commit()
        pairs = select(shop.Category.name, shop.Country.name).where(
            shop.Country.code == func.upper("fr"), shop.Category.id == 1
        )
        pairs = pairs.select_from(shop.Category).join(shop.Country, true())
        for named in (shop.Country, shop.Country.__table__):
            with as_of(live, position, live=[named]) as past:
                assert past.execute(pairs).all() == [("one", "Gaul")]
                assert past.get_one(shop.Country, "FR").name == "Gaul"
        with as_of(live, position, live=[shop.Category]) as past:
            assert past.get_one(shop.Category, 1).name == "uno"


@pytest.mark.parametrize("named", ["country", 7, None, Session])
def test_live_names_classes_and_tables(small_life: Life, named: Any) -> None:
    with Session(small_life.engine) as live, pytest.raises(OptionError, match="live"):
        as_of(live, timedelta(0), live=[named])


@pytest.mark.parametrize("session", [None, "session", 7])
def test_as_of_takes_a_session(session: Any) -> None:
    with pytest.raises(OptionError, match="takes a session"):
        as_of(session, 0)


def test_plain_texts_in_a_query_are_allowed(small_life: Life) -> None:
    Category = small_life.shop.Category
    with Session(small_life.engine) as live, as_of(live, timedelta(0)) as past:
        found = past.execute(
            select(Category.id, literal_column("'x'"), func.now())
            .where(text("category.id = 1"))
            .order_by(text("1 DESC"))
        ).all()
        assert [row[:2] for row in found] == [(1, "x")]


def test_changes_to_past_objects_go_nowhere(small_life: Life) -> None:
    Category = small_life.shop.Category
    with Session(small_life.engine) as live:
        with as_of(live, timedelta(0)) as past:
            found = past.get_one(Category, 1)
            found.name = "changed"
            assert past.query(Category).count() == 1
        live.commit()
        assert live.get_one(Category, 1).name == "one"
