"""The history of a class, and how a history looks."""

# ruff: noqa: RUF012 - classes as SQLAlchemy has them

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from sqlalchemy import Engine, ForeignKey, String, func, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from lithair_sqla import EventSourced, context, create_all, history
from lithair_sqla.errors import MappingError


@pytest.fixture
def zoo(engine: Engine) -> SimpleNamespace:
    class Base(DeclarativeBase):
        pass

    class Animal(EventSourced, Base):
        __tablename__ = "animal"
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str] = mapped_column(String(20))
        weight: Mapped[Decimal]
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}

    class Bird(Animal):
        __tablename__ = "bird"
        id: Mapped[int] = mapped_column(ForeignKey("animal.id"), primary_key=True)
        span: Mapped[int]
        __mapper_args__ = {"polymorphic_identity": "bird"}

    class Cat(Animal):
        lives: Mapped[int | None]
        __mapper_args__ = {"polymorphic_identity": "cat"}

    class Keeper(EventSourced, Base):
        __tablename__ = "keeper"
        id: Mapped[int] = mapped_column(primary_key=True)

    create_all(engine, Base)
    with Session(engine) as session:
        with context(user_id="ana"):
            session.add_all([Animal(id=1, weight=10), Keeper(id=1)])
            session.commit()
            session.add(Bird(id=2, weight=1, span=30))
            session.commit()
        with context(user_id="bob"):
            session.get_one(Animal, 1).weight = Decimal(11)
            session.get_one(Bird, 2).span = 40
            session.commit()
            session.add(Cat(id=3, weight=4, lives=9))
            session.commit()
            session.delete(session.get_one(Bird, 2))
            session.commit()
    return SimpleNamespace(Animal=Animal, Bird=Bird, Cat=Cat, Keeper=Keeper)


def told(events: Any) -> list[str]:
    return [f"{event.kind} {event.stream}" for event in events]


def test_all_events_of_a_class_in_the_order_of_the_log(engine: Engine, zoo: SimpleNamespace) -> None:
    with Session(engine) as session:
        events = history(session, zoo.Animal)
        everything = told(events)
        assert everything[:3] == ["c Animal(1)", "c Animal(2)", "c Bird(2)"]
        assert sorted(everything[3:5]) == ["u Animal(1)", "u Bird(2)"]
        assert everything[5] == "c Animal(3)"
        assert sorted(everything[6:]) == ["d Animal(2)", "d Bird(2)"]
        assert told(events.newest()) == everything[::-1]
        assert told(reversed(events)) == everything[::-1]
        assert events.count() == len(everything)
        assert repr(events) == "<History of class Animal>"
        for walk in (events, events.newest()):
            found, page = [], walk.page(3)
            while page:
                found += page
                page = walk.page(3, after=page[-1])
            assert found == walk.all()
        assert told(history(session, zoo.Keeper)) == ["c Keeper(1)"]


def test_a_subclass_with_a_table_of_its_own(engine: Engine, zoo: SimpleNamespace) -> None:
    with Session(engine) as session:
        assert sorted(told(history(session, zoo.Bird))) == sorted(
            ["c Animal(2)", "c Bird(2)", "u Bird(2)", "d Animal(2)", "d Bird(2)"]
        )
        assert history(session, zoo.Bird).count() == 5


def test_a_subclass_without_one_is_refused(engine: Engine, zoo: SimpleNamespace) -> None:
    with Session(engine) as session:
        with pytest.raises(MappingError, match="shares the table of Animal"):
            history(session, zoo.Cat)
        assert told(history(session, zoo.Cat, 3)) == ["c Animal(3)"]


def test_narrowed_by_who_and_when(engine: Engine, zoo: SimpleNamespace) -> None:
    with Session(engine) as session:
        events = history(session, zoo.Animal)
        assert events.where(actor="ana").count() == 3
        assert told(events.where(actor="bob", types="AnimalCreated")) == ["c Animal(3)"]
        times = [event.recorded_at for event in events]
        for place, time in enumerate(times):
            assert events.where(since=time).all() == events.all()[place:]
            assert events.where(until=time).all() == events.all()[:place]
            assert events.where(since=times[1], until=time).count() == max(0, place - 1)


def test_the_changes_of_an_attribute_of_all_objects(engine: Engine, zoo: SimpleNamespace) -> None:
    with Session(engine) as session:
        changes = history(session, zoo.Animal).of("weight")
        assert [(c.key, c.old, c.new) for c in changes] == [
            ("1", None, 10),
            ("2", None, 1),
            ("1", 10, 11),
            ("3", None, 4),
            ("2", 1, None),
        ]
        assert [(c.key, c.new) for c in history(session, zoo.Animal).of("span")] == [("2", 30), ("2", 40), ("2", None)]
        newest = history(session, zoo.Animal).where(actor="bob").newest().limit(1).of("weight")
        assert [(c.key, c.old, c.new, c.actor) for c in newest] == [("2", 1, None, "bob")]


def test_a_long_history_is_read_in_pages(engine: Engine, zoo: SimpleNamespace, count_statements: Any) -> None:
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO keeper SELECT i FROM generate_series(2, 1301) i"))
    with Session(engine) as session:
        events = history(session, zoo.Keeper)
        assert events.count() == 1301
        with count_statements(engine) as counted:
            assert len({event.stream.key for event in events}) == 1301
        assert len(counted) == 4
        with count_statements(engine) as counted:
            assert [event.stream.key for event in events.newest().page(2)] == ["1301", "1300"]
        assert len(counted) == 2


# ------------------------------------------------------------------------------------------------ looks


def test_a_history_as_text(engine: Engine, zoo: SimpleNamespace) -> None:
    with Session(engine) as session:
        lines = str(history(session, zoo.Animal, 1)).split("\n")
        assert lines[0] == "<History of Animal 1>"
        assert lines[1].split() == ["position", "when", "stream", "version", "event", "by", "what"]
        assert "Animal(1)" in lines[2]
        assert "AnimalCreated" in lines[2]
        assert lines[3].endswith("weight=11")
        assert len(lines) == 4
        assert str(history(session, zoo.Animal, 99)).split("\n")[0] == "<History of Animal 99>"


def test_a_long_history_shows_its_newest_events(engine: Engine, zoo: SimpleNamespace) -> None:
    with engine.begin() as connection:
        for _ in range(30):
            connection.execute(text("UPDATE animal SET weight = weight + 1 WHERE id = 1"))
    with Session(engine) as session:
        events = history(session, zoo.Animal, 1)
        lines = str(events).split("\n")
        assert len(lines) == 23
        assert lines[-1] == "… and 12 more"
        assert lines[-2].endswith("weight=41")
        assert str(events.newest()).split("\n")[2].endswith("weight=41")
        assert "more" not in str(events.limit(3))


def test_a_history_in_a_terminal_and_in_a_notebook(engine: Engine, zoo: SimpleNamespace) -> None:
    with Session(engine) as session:
        with context(user_id="<b>[red]eve</b>"):
            session.add(zoo.Keeper(id=9))
            session.commit()
        events = history(session, zoo.Keeper, 9)
        console = Console(width=160, record=True, file=None, force_terminal=False)
        with console.capture() as captured:
            console.print(events)
        assert "<History of Keeper 9>" in captured.get()
        assert "<b>[red]eve</b>" in captured.get()
        html = events._repr_html_()
        assert "&lt;b&gt;[red]eve&lt;/b&gt;" in html
        assert "<b>" not in html
        assert html.count("<tr>") == 2


def test_the_time_of_the_database_is_the_one_that_counts(engine: Engine, zoo: SimpleNamespace) -> None:
    with Session(engine) as session:
        now = session.scalar(func.clock_timestamp())
        assert history(session, zoo.Animal).where(since=now).all() == []
        assert history(session, zoo.Animal).where(until=now).count() == history(session, zoo.Animal).count()
