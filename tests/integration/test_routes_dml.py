"""Every statement that changes rows: captured, with its RETURNING and its row count as they were."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy import Engine, ForeignKey, bindparam, case, delete, func, insert, literal, select, text, update
from sqlalchemy import values as sql_values
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from lithair_sqla import EventSourced, audit, create_all, persistence

if TYPE_CHECKING:
    from tests.integration.conftest import Log

Run = Callable[..., Any]


class Base(DeclarativeBase):
    pass


class Item(EventSourced, Base):
    __tablename__ = "item"

    id: Mapped[int] = mapped_column(primary_key=True)
    sku: Mapped[str] = mapped_column(unique=True)
    price: Mapped[int] = mapped_column(default=1, info=persistence(event="PriceSet"))
    kind_id: Mapped[int | None] = mapped_column(ForeignKey("kind.id"))


class Kind(EventSourced, Base):
    __tablename__ = "kind"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


@pytest.fixture
def session(engine: Engine) -> Any:
    create_all(engine, Base)
    with Session(engine) as session:
        session.add_all([Item(sku=sku) for sku in "abc"])
        session.add(Kind(name="tool"))
        session.commit()
        yield session


def test_upserts_that_insert_update_and_do_nothing(session: Session, log: Log) -> None:
    upsert = pg_insert(Item).values([{"sku": "a", "price": 5}, {"sku": "d", "price": 6}])
    upsert = upsert.on_conflict_do_update(index_elements=["sku"], set_={"price": upsert.excluded.price})
    rows = session.execute(upsert.returning(Item.sku, Item.price)).all()
    assert sorted(map(tuple, rows)) == [("a", 5), ("d", 6)]
    session.execute(upsert)
    nothing = pg_insert(Item).values(sku="a", price=9).on_conflict_do_nothing()
    assert session.execute(nothing.returning(Item.id)).all() == []
    counted = session.execute(text("INSERT INTO item (sku, price) VALUES ('a', 9) ON CONFLICT DO NOTHING"))
    assert counted.rowcount == 0  # type: ignore[attr-defined]
    where = pg_insert(Item).values(sku="a", price=9)
    where = where.on_conflict_do_update(index_elements=["sku"], set_={"price": 9}, where=Item.price > 100)
    session.execute(where)
    moved = pg_insert(Item).values(sku="a", price=9)
    session.execute(moved.on_conflict_do_update(index_elements=["sku"], set_={"id": 77}))
    session.commit()
    assert log.types("Item", "1") == ["ItemCreated", "PriceSet", "ItemDeleted"]
    assert log.kinds("Item", "77") == "c"
    assert [found.kind for found in log("Item") if found.data.get("sku") == "d"] == ["c"]


def test_an_upsert_of_rows_locked_or_written_before_in_the_transaction(session: Session, log: Log) -> None:
    item = session.scalars(select(Item).where(Item.sku == "a").with_for_update()).one()
    item.price = 2
    session.flush()
    for price in (3, 4):
        upsert = pg_insert(Item).values(sku="a", price=price)
        session.execute(upsert.on_conflict_do_update(index_elements=["sku"], set_={"price": price}))
    session.commit()
    assert [found.data.get("price") for found in log("Item", "1")] == [1, 2, 3, 4]


def test_orm_dml_with_returning_and_row_counts(session: Session, log: Log) -> None:
    updated = session.execute(
        update(Item).where(Item.price < 5).values(price=Item.price + 1).returning(Item.id, Item.price)
    )
    assert sorted(map(tuple, updated)) == [(1, 2), (2, 2), (3, 2)]
    counted = session.execute(update(Item).values(price=9).execution_options(synchronize_session=False))
    assert counted.rowcount == 3  # type: ignore[attr-defined]
    inserted = session.scalars(insert(Item).returning(Item), [{"sku": "x"}, {"sku": "y"}]).all()
    assert [item.sku for item in inserted] == ["x", "y"]
    sorted_ids = session.scalars(
        insert(Item).returning(Item.id, sort_by_parameter_order=True), [{"sku": "z"}, {"sku": "q"}]
    )
    assert sorted_ids.all() == [6, 7]
    session.execute(update(Item), [{"id": 1, "price": 50}, {"id": 2, "sku": "bb"}])
    deleted = session.execute(delete(Item).where(Item.id > 3).returning(Item.sku))
    assert sorted(deleted.scalars()) == ["q", "x", "y", "z"]
    assert session.execute(delete(Item).where(Item.id == -1)).rowcount == 0  # type: ignore[attr-defined]
    session.commit()
    assert log.kinds("Item") == "cccuuuuuuccccuudddd"


def test_legacy_bulk_methods(session: Session, log: Log) -> None:
    session.bulk_save_objects([Item(sku="x"), Item(sku="y")], return_defaults=True)
    session.bulk_insert_mappings(Item, [{"sku": "z"}], render_nulls=True)
    session.bulk_update_mappings(Item, [{"id": 1, "price": 7}, {"id": 2, "price": 1}])
    session.query(Item).filter(Item.sku == "c").update({Item.price: Item.price * 10}, synchronize_session=False)
    session.query(Item).filter(Item.sku == "z").delete()
    session.commit()
    assert log.kinds("Item") == "ccccccuud"


def test_core_dml_of_every_shape(session: Session, engine: Engine, log: Log) -> None:
    table: Any = Item.__table__
    with engine.begin() as connection:
        connection.execute(insert(table), [{"sku": f"m{n}", "price": n} for n in range(5)])
        connection.execute(insert(table).from_select(["sku"], select(literal("s") + Item.sku).where(Item.id < 4)))
        connection.execute(
            update(table).where(table.c.kind_id.is_(None)).values(kind_id=select(func.min(Kind.id)).scalar_subquery())
        )
        joined = sql_values(*(Item.__table__.c[name] for name in ("sku", "price")), name="v").data(
            [("a", 10), ("b", 20)]
        )
        connection.execute(update(table).where(table.c.sku == joined.c.sku).values(price=joined.c.price))
        connection.execute(update(table).values(price=case((table.c.price > 9, 0), else_=table.c.price)))
        prepared = update(table).where(table.c.id == bindparam("which")).values(price=bindparam("to"))
        connection.execute(prepared, [{"which": 1, "to": 3}, {"which": 2, "to": 4}])
        connection.execute(delete(table).where(table.c.kind_id == Kind.id, Kind.name == "tool", table.c.sku.like("m%")))
    assert log.kinds("Item").count("d") == 5


def test_dml_in_ctes(session: Session, log: Log) -> None:
    gone = delete(Item).where(Item.sku == "a").returning(Item.sku).cte("gone")
    assert session.execute(select(gone.c.sku)).scalars().all() == ["a"]
    moved = update(Item).where(Item.sku == "b").values(price=0).returning(Item.id).cte("moved")
    session.execute(insert(Item).from_select(["sku", "price"], select(literal("n"), moved.c.id)))
    session.execute(
        text(
            "WITH a AS (INSERT INTO kind (name) VALUES ('new') RETURNING id), "
            "b AS (UPDATE item SET kind_id = (SELECT id FROM a) WHERE sku = 'c' RETURNING *) SELECT * FROM b"
        )
    )
    session.commit()
    assert (log.kinds("Item", "1"), log.kinds("Item", "2"), log.kinds("Item", "3")) == ("cd", "cu", "cu")
    assert log.kinds("Kind") == "cc"


def test_text_and_driver_sql(session: Session, engine: Engine, log: Log) -> None:
    session.execute(text("UPDATE item SET price = :price WHERE sku = 'a'"), {"price": 2})
    session.commit()
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE item SET price = %s WHERE sku = 'a'", (3,))
        connection.exec_driver_sql("DO $$ BEGIN UPDATE item SET price = 4 WHERE sku = 'a'; END $$")
        connection.exec_driver_sql(
            "CREATE FUNCTION raise_price() RETURNS int LANGUAGE sql AS "
            "'UPDATE item SET price = 5 WHERE id = 1 RETURNING 1'"
        )
        connection.exec_driver_sql(
            "CREATE PROCEDURE lower_price() LANGUAGE sql AS 'UPDATE item SET price = 6 WHERE id = 1'"
        )
    with engine.begin() as connection:
        connection.execute(select(func.raise_price()))
        connection.exec_driver_sql("CALL lower_price()")
        connection.exec_driver_sql("PREPARE p AS UPDATE item SET price = $1 WHERE id = 1; EXECUTE p(7)")
    assert [found.data["price"] for found in log("Item", "1")] == [1, 2, 3, 4, 5, 6, 7]


def test_merge(session: Session, engine: Engine, log: Log, server_version: int) -> None:
    if server_version < 15:
        pytest.skip("MERGE came with PostgreSQL 15")
    session.execute(
        text(
            "MERGE INTO item USING (VALUES ('a', 5), ('b', 0), ('x', 7)) v (sku, price) ON item.sku = v.sku "
            "WHEN MATCHED AND v.price = 0 THEN DELETE WHEN MATCHED THEN UPDATE SET price = v.price "
            "WHEN NOT MATCHED THEN INSERT (sku, price) VALUES (v.sku, v.price)"
        )
    )
    session.commit()
    assert (log.kinds("Item", "1"), log.kinds("Item", "2")) == ("cu", "cd")
    assert log.data("Item")[-1]["sku"] == "x"


def test_copy_text_binary_and_freeze(session: Session, engine: Engine, log: Log) -> None:
    with engine.begin() as connection:
        driver: Any = connection.connection.driver_connection
        with driver.cursor() as cursor:
            with cursor.copy("COPY item (sku, price) FROM STDIN") as copy:
                for number in range(300):
                    copy.write_row((f"t{number}", number))
            with cursor.copy("COPY item (sku, price) FROM STDIN (FORMAT binary)") as copy:
                copy.set_types(["text", "int4"])
                for number in range(300):
                    copy.write_row((f"b{number}", number))
    assert log.kinds("Item") == "c" * 603
    positions = [found.position for found in log("Item")]
    assert positions == sorted(positions)


def test_a_pipeline_of_the_driver(session: Session, engine: Engine, log: Log) -> None:
    with engine.begin() as connection:
        driver: Any = connection.connection.driver_connection
        with driver.pipeline():
            for number in range(5):
                driver.execute("INSERT INTO item (sku, price) VALUES (%s, %s)", (f"p{number}", number))
    assert log.kinds("Item") == "c" * 8


def test_many_rows_in_one_statement_and_over_a_snapshot(session: Session, engine: Engine, run: Run) -> None:
    run("INSERT INTO item (sku, price) SELECT 'n' || i, i FROM generate_series(1, 2000) i")
    assert run("UPDATE item SET price = price + 1") == 2003
    assert run("DELETE FROM item WHERE price % 2 = 0") > 900
    with engine.connect() as connection:
        assert audit(connection, Item)


def test_a_program_without_sqlalchemy(session: Session, engine: Engine, log: Log) -> None:
    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE item SET price = 8 WHERE sku = 'a'")
        connection.execute("INSERT INTO item (sku, price) VALUES ('other', 1)")
        connection.commit()
        connection.execute("DELETE FROM item WHERE sku = 'other'")
    assert log.kinds("Item") == "cccucd"
    assert [found.actor for found in log("Item")][-1] is not None


def test_a_view_and_a_rule_write_through_to_the_table(session: Session, run: Run, log: Log) -> None:
    run("CREATE VIEW cheap AS SELECT id, sku, price FROM item WHERE price < 10")
    run("UPDATE cheap SET price = 3 WHERE sku = 'a'")
    run("INSERT INTO cheap (sku, price) VALUES ('v', 2)")
    run("DELETE FROM cheap WHERE sku = 'v'")
    run(
        "CREATE TABLE inbox (sku text); CREATE RULE r AS ON INSERT TO inbox DO ALSO "
        "INSERT INTO item (sku, price) VALUES (new.sku, 0)"
    )
    run("INSERT INTO inbox VALUES ('r')")
    assert log.kinds("Item") == "cccucdc"


def test_a_cursor_that_updates_where_it_stands(session: Session, run: Run, log: Log) -> None:
    run(
        "DO $$ DECLARE c CURSOR FOR SELECT * FROM item ORDER BY id FOR UPDATE; BEGIN "
        "FOR r IN c LOOP UPDATE item SET price = r.id * 10 WHERE CURRENT OF c; END LOOP; END $$"
    )
    assert [data["price"] for data in log.data("Item")[3:]] == [10, 20, 30]
