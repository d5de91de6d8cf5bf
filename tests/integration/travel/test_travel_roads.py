"""Which way is taken, what it costs in statements, and that every way tells it."""

# ruff: noqa: N806 - capital letters stand for classes

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar

import pytest
from sqlalchemy import Connection, Engine, ForeignKey, and_, event, func, or_, select, text, tuple_, union
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, aliased, joinedload, mapped_column, relationship

from lithair_sqla import EventSourced, Persistence, adopt, as_of, create_all

from .conftest import Life


def ways(live: Session, moment: Any, statement: Any, parameters: Any = None) -> dict[str, str]:
    """Run a statement at a moment and tell which way each table went."""
    with as_of(live, moment, explain=True) as past:
        past.execute(statement, parameters).all()
        (explained,) = past.explained
        return {road.table: str(road.way) for road in explained.roads}


def test_conditions_that_name_keys_are_found(long_life: Life) -> None:
    shop = long_life.shop
    P, B, L, C = shop.Product, shop.Book, shop.Line, shop.Category
    T, K = P.__table__, B.__table__
    other = aliased(P)
    moment = long_life.commits[-1].position
    key = "key"
    cases: list[tuple[Any, dict[str, str]]] = [
        (select(P).where(P.id == 3), {"product": key}),
        (select(P).where(3 == P.id), {"product": key}),  # noqa: SIM300 - that is the point
        (select(P).where(P.id == 3, P.stock > 5), {"product": key}),
        (select(P).where(and_(P.stock > 5, and_(P.id == 3))), {"product": key}),
        (select(P).where(P.id.in_([3, 4])), {"product": "keys"}),
        (select(P).where(P.id.in_([])), {"product": "keys"}),
        (select(P).where(P.id.in_([3])), {"product": key}),
        (select(other).where(other.id == 3), {"product": key}),
        (select(P.id).where(P.id == 3).union(select(P.id).where(P.id == 4)), {"product": "keys"}),
        (select(B).where(B.id == 3), {"product": key, "book": key}),
        (select(T, K).join(K, T.c.id == K.c.id).where(T.c.id == 3), {"product": key, "book": key}),
        (select(T, K).outerjoin(K, T.c.id == K.c.id).where(T.c.id == 3), {"product": key, "book": key}),
        (select(func.count()).select_from(select(P.name).where(P.id == 3).subquery()), {"product": key}),
        (select(L).where(L.number == 1, L.order_id == func.gen_random_uuid()), {"order_line": "hybrid"}),
        (select(P).where(or_(P.id == 3, P.id == 4)), {"product": "hybrid"}),
        (select(P).where(P.id > 3), {"product": "hybrid"}),
        (select(P).where(~(P.id == 3)), {"product": "hybrid"}),
        (select(P).where(P.id == P.stock), {"product": "hybrid"}),
        (select(P).where(P.id + 0 == 3), {"product": "hybrid"}),
        (select(P.id, other.id).join(other, P.id == other.stock).where(P.id == 3), {"product": "hybrid"}),
        (select(P.id).where(P.id == 3).union(select(P.id)), {"product": "hybrid"}),
        (select(T, K).outerjoin(K, and_(T.c.id == K.c.id, T.c.id == 3)), {"product": "hybrid", "book": "hybrid"}),
        (select(T, K).outerjoin(K, and_(T.c.id == K.c.id, K.c.id == 3)), {"product": "hybrid", "book": key}),
        (select(T, K).join(K, and_(T.c.id == K.c.id, K.c.id == 3), full=True), {"product": "hybrid", "book": "hybrid"}),
        (select(P).options(joinedload(P.category)).where(P.id == 3), {"product": key, "category": "hybrid"}),
        (select(P).where(P.category_id == C.id, C.id == 3), {"product": "hybrid", "category": key}),
    ]
    with Session(long_life.engine) as live:
        for statement, expected in cases:
            assert ways(live, moment, statement) == expected, str(statement)
        line = live.scalars(select(L)).first()
        assert line is not None
        pair = [(line.order_id, line.number)]
        assert ways(live, moment, select(L).where(tuple_(L.order_id, L.number).in_(pair))) == {"order_line": key}
        two = select(L).where(L.order_id == line.order_id, L.number.in_([0, 1, 2]))
        assert ways(live, moment, two) == {"order_line": "keys"}
        assert ways(live, moment, union(two, two)) == {"order_line": "keys"}


def test_a_cached_statement_takes_its_own_keys(long_life: Life) -> None:
    """The reading is kept by the statement's cache key; the values are each call's."""
    P = long_life.shop.Product
    commit = long_life.commits[-1]
    with Session(long_life.engine) as live, as_of(live, commit.position) as past:
        ids = live.scalars(select(P.id).order_by(P.id)).all()
        for number in [*ids, 10**6]:
            found = past.scalars(select(P).where(P.id == number)).all()
            assert [product.id for product in found] == ([number] if number in ids else [])
        for count in range(len(ids)):
            assert past.scalars(select(P.id).where(P.id.in_(ids[:count])).order_by(P.id)).all() == ids[:count]


def test_the_explanation_reads_well(long_life: Life) -> None:
    shop = long_life.shop
    with Session(long_life.engine) as live, as_of(live, 1, live=[shop.Country], explain=True) as past:
        past.get(shop.Category, 1)
        past.query(shop.Country).all()
        past.scalars(select(shop.Tag)).all()
        shown = [str(explained) for explained in past.explained]
    assert "category: key (the conditions name one key)" in shown[0]
    assert "country: live (named in live)" in shown[1]
    assert "tag: hybrid (" in shown[2]
    assert "positions since, about" in shown[2]
    with Session(long_life.engine) as live, as_of(live, 1) as past:
        past.get(shop.Category, 1)
        assert past.explained == []


def test_what_it_costs_in_statements(long_life: Life, count_statements: Any) -> None:
    shop = long_life.shop
    with Session(long_life.engine) as live:
        with as_of(live, 1):
            pass
        with count_statements(long_life.engine) as opening, as_of(live, long_life.commits[4].position) as past:
            pass
        # Classes of other stores, which another test may have mapped, make it look whether those are here.
        assert len([sql for sql in opening.statements if "to_regclass" not in sql]) == 1
        with as_of(live, long_life.commits[4].position) as past:
            number = past.scalars(select(shop.Product.id)).first()
            with count_statements(long_life.engine) as getting:
                product = past.get(shop.Product, number)
            assert product is not None
            assert len(getting) == 1
            with count_statements(long_life.engine) as again:
                past.get(shop.Product, number)
            assert len(again) == 0
            past.scalars(select(shop.Product)).all()
            with count_statements(long_life.engine) as selecting:
                past.scalars(select(shop.Product).where(shop.Product.stock > 5)).all()
            assert len(selecting) == 1


@pytest.fixture
def crowd(engine: Engine) -> Any:
    """A thousand rows, each changed a few times, and where the log stood after each time."""

    class Base(DeclarativeBase):
        pass

    class Person(EventSourced, Base):
        __tablename__ = "person"
        __persistence__ = Persistence(snapshot_frequency=3)
        id: Mapped[int] = mapped_column(primary_key=True)
        value: Mapped[int]
        positions: ClassVar[list[int]] = []
        boss_id: Mapped[int | None] = mapped_column(ForeignKey("person.id"))
        boss: Mapped[Any] = relationship("Person", remote_side="Person.id")

    create_all(engine, Base)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO person (id, value) SELECT i, 0 FROM generate_series(1, 1000) i"))
        Person.positions.append(_last(connection))
    for turn in range(1, 6):
        with engine.begin() as connection:
            connection.execute(text("UPDATE person SET value = value + 1 WHERE id % :turn = 0"), {"turn": turn})
            Person.positions.append(_last(connection))
    return Person


def _last(connection: Connection) -> int:
    found: int = connection.execute(text("SELECT max(position) FROM lithair_events")).scalar_one()
    return found


def test_the_past_by_hybrid_and_by_fold(engine: Engine, crowd: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with Session(engine) as live:
        for factor in (0, 1, 20):
            monkeypatch.setattr("lithair_sqla.model.travel.roads._EVENTS_A_ROW", factor)
            for turn, position in enumerate(crowd.positions):
                with as_of(live, position) as past:
                    total = past.scalar(select(func.sum(crowd.value)))
                    by_key = past.get_one(crowd, 60)
                assert total == sum(1000 // each for each in range(1, turn + 1))
                assert by_key.value == turn


def test_a_read_by_key_uses_the_index_of_streams(engine: Engine, crowd: Any) -> None:
    plans: list[str] = []
    with Session(engine) as live, as_of(live, crowd.positions[2]) as past:
        connection = live.connection()
        connection.execute(text("ANALYZE"))

        @event.listens_for(connection, "before_cursor_execute", retval=True)
        def explain(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> Any:
            if statement.startswith("WITH"):
                with connection.connection.cursor() as cursor:  # type: ignore[attr-defined]
                    cursor.execute(f"EXPLAIN {statement}", parameters)
                    plans.append("\n".join(row[0] for row in cursor.fetchall()))
            return statement, parameters

        assert past.get_one(crowd, 60).value == 2
        assert len(past.scalars(select(crowd).where(crowd.id.in_([1, 2, 3]))).all()) == 3
    assert len(plans) == 2
    for plan in plans:
        assert "lithair_streams_identity" in plan, plan


def test_rows_without_streams_have_no_past_until_they_are_adopted(engine: Engine) -> None:
    class Base(DeclarativeBase):
        pass

    class Old(EventSourced, Base):
        __tablename__ = "old"
        id: Mapped[int] = mapped_column(primary_key=True)
        value: Mapped[Decimal]

    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE old (id int PRIMARY KEY, value numeric NOT NULL)"))
        connection.execute(text("INSERT INTO old SELECT i, i FROM generate_series(1, 10) i"))
    create_all(engine, Base)
    with Session(engine) as live:
        live.add(Old(id=11, value=Decimal(11)))
        live.commit()
        with as_of(live, 1, explain=True) as past:
            # The same on every road.
            assert past.scalars(select(Old.id)).all() == [11]
            assert past.get(Old, 1) is None
            assert "11 rows have 1 open streams: adopt it" in str(past.explained[0])
        live.commit()
        adopt(engine, Old)
        position = _last(live.connection())
        with as_of(live, position, explain=True) as past:
            assert len(past.scalars(select(Old.id)).all()) == 11
            assert past.get(Old, 1) is not None
            assert "hybrid" in str(past.explained[0])
        with as_of(live, 1) as past:
            assert past.scalars(select(Old.id)).all() == [11]
