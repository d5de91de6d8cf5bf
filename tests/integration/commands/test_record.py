"""``record``: events that change no row, in the stream of the object they are about."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import CHAR, DateTime, Engine, ForeignKey, Numeric, String, text
from sqlalchemy.dialects.postgresql import BYTEA, INTERVAL
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from lithair_sqla import EventSourced, context, history, record
from lithair_sqla.errors import CommandError, StreamNotFoundError


class Base(DeclarativeBase):
    pass


class Page(EventSourced, Base):
    __tablename__ = "page"
    id: Mapped[int] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(default=0)


class Animal(EventSourced, Base):
    __tablename__ = "animal"
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}  # noqa: RUF012
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]


class Dog(Animal):
    __tablename__ = "dog"
    __mapper_args__ = {"polymorphic_identity": "dog"}  # noqa: RUF012
    id: Mapped[int] = mapped_column(ForeignKey("animal.id"), primary_key=True)
    name: Mapped[str]


class Plain(Base):
    __tablename__ = "plain"
    id: Mapped[int] = mapped_column(primary_key=True)


class ByText(EventSourced, Base):
    __tablename__ = "by_text"
    id: Mapped[str] = mapped_column(String, primary_key=True)


class ByChar(EventSourced, Base):
    __tablename__ = "by_char"
    id: Mapped[str] = mapped_column(CHAR(8), primary_key=True)


class ByUuid(EventSourced, Base):
    __tablename__ = "by_uuid"
    id: Mapped[UUID] = mapped_column(primary_key=True)


class ByNumber(EventSourced, Base):
    __tablename__ = "by_number"
    id: Mapped[Decimal] = mapped_column(Numeric(12, 4), primary_key=True)


class ByTime(EventSourced, Base):
    __tablename__ = "by_time"
    id: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True), primary_key=True)


class ByDay(EventSourced, Base):
    __tablename__ = "by_day"
    id: Mapped[dt.date] = mapped_column(primary_key=True)


class ByInterval(EventSourced, Base):
    __tablename__ = "by_interval"
    id: Mapped[dt.timedelta] = mapped_column(INTERVAL, primary_key=True)


class ByFloat(EventSourced, Base):
    __tablename__ = "by_float"
    id: Mapped[float] = mapped_column(primary_key=True)


class ByBytes(EventSourced, Base):
    __tablename__ = "by_bytes"
    id: Mapped[bytes] = mapped_column(BYTEA, primary_key=True)


class ByTwo(EventSourced, Base):
    __tablename__ = "by_two"
    first: Mapped[str] = mapped_column(String, primary_key=True)
    second: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True), primary_key=True)


WHEN = dt.datetime(2024, 3, 31, 1, 30, 0, 5_000, tzinfo=dt.timezone(dt.timedelta(hours=2)))
KEYS = [
    ByText(id='a "quoted" \\ key, ✓\n'),
    ByChar(id="ab"),
    ByUuid(id=uuid4()),
    ByNumber(id=Decimal("12.5000")),
    ByTime(id=WHEN),
    ByDay(id=dt.date(2024, 2, 29)),
    ByInterval(id=dt.timedelta(hours=26)),
    ByFloat(id=-0.0),
    ByBytes(id=b"\x00\xff"),
    ByTwo(first='"]', second=WHEN),
]


@pytest.fixture
def page(session: Session) -> Page:
    """A page that is committed."""
    made = Page()
    session.add(made)
    session.commit()
    return made


def notes(log: Any, page: Page) -> list[tuple[str, str, Any, Any]]:
    return [(found.kind, found.type, found.data, found.payload) for found in log("Page", str(page.id))][1:]


def test_a_note_is_an_event_that_changes_nothing(session: Session, page: Page, log: Any) -> None:
    record(page, "PageViewed", channel="web", seconds=3)
    record(page, "PageViewed")
    session.commit()

    assert notes(log, page) == [
        ("n", "PageViewed", {}, {"channel": "web", "seconds": 3}),
        ("n", "PageViewed", {}, {}),
    ]


def test_a_transaction_of_notes_alone_has_its_context(session: Session, page: Page, log: Any) -> None:
    cause = uuid4()
    with context(user_id="ana", correlation_id=cause, causation_id=cause, meta={"page": 1}):
        record(page, "PageViewed")
        session.commit()

    found = log("Page", str(page.id))[-1]
    assert (found.actor, found.correlation_id, found.causation_id, found.meta) == ("ana", cause, cause, {"page": 1})


def test_notes_and_changes_keep_their_order(session: Session, page: Page, log: Any) -> None:
    record(page, "First")
    page.n = 1
    record(page, "Second")
    session.commit()

    assert [found[1] for found in notes(log, page)] == ["PageUpdated", "First", "Second"]
    assert [found.version for found in log("Page", str(page.id))] == [1, 2, 3, 4]


def test_a_note_may_be_about_a_new_object(session: Session, log: Any) -> None:
    page = Page()
    session.add(page)
    record(page, "PageDrafted")
    session.commit()

    assert log.types("Page", str(page.id)) == ["PageCreated", "PageDrafted"]


def test_a_note_about_an_object_that_is_deleted_closes_its_story(session: Session, page: Page, log: Any) -> None:
    key = page.id
    session.delete(page)
    record(page, "PageBurnt", why="age")
    session.commit()

    assert log.kinds("Page", str(key)) == "cdn"


def test_a_note_about_an_object_of_several_tables_stands_with_the_base(session: Session, log: Any) -> None:
    dog = Dog(name="rex")
    session.add(dog)
    session.commit()
    record(dog, "DogBarked")
    session.commit()

    assert log.types("Animal", str(dog.id)) == ["AnimalCreated", "DogBarked"]
    assert [found.type for found in history(session, dog)] == ["AnimalCreated", "DogCreated", "DogBarked"]


@pytest.mark.parametrize("item", KEYS, ids=lambda item: type(item).__name__)
@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_every_kind_of_key_is_found_and_locked(engine: Engine, item: Any, zone: str, log: Any) -> None:
    class_ = type(item)
    values = {name: value for name, value in vars(item).items() if not name.startswith("_")}
    with Session(engine) as session:
        session.execute(text("SELECT set_config('TimeZone', :zone, false)"), {"zone": zone})
        stored = session.merge(class_(**values))
        session.commit()
        record(stored, "Seen", zone=zone)
        session.add(Page())
        session.flush()
        with engine.connect() as other:
            other.exec_driver_sql("SET lock_timeout = '50ms'")
            locked = other.exec_driver_sql(
                f"SELECT count(*) FROM (SELECT FROM {class_.__tablename__} FOR NO KEY UPDATE SKIP LOCKED) free"
            ).scalar_one()
        session.commit()
        session.execute(text("RESET TimeZone"))
        session.commit()

    assert locked == 0
    assert log(class_.__name__)[-1].type == "Seen"
    assert len({found.key for found in log(class_.__name__)}) == 1


def test_a_row_that_was_not_adopted_says_so(session: Session, run: Callable[..., Any]) -> None:
    run("ALTER TABLE page DISABLE TRIGGER ALL")
    run("INSERT INTO page (id, n) VALUES (1000000, 1)")
    run('ALTER TABLE page ENABLE ALWAYS TRIGGER "!lithair_guard"')
    run('ALTER TABLE page ENABLE ALWAYS TRIGGER "!lithair_truncate"')
    page = session.get_one(Page, 1_000_000)
    record(page, "PageViewed")

    with pytest.raises(StreamNotFoundError, match=r"Page\(1000000\) does not exist.*adopt\(\) gives it its stream"):
        session.commit()

    session.rollback()
    page.n = 2
    session.commit()
    record(page, "PageViewed")
    session.commit()


def test_what_record_refuses(session: Session, page: Page) -> None:
    plain = Plain()
    session.add(plain)
    for item in (plain, Page, object(), None):
        with pytest.raises(CommandError, match="not an object of an event-sourced class"):
            record(item, "Something")
    with pytest.raises(CommandError, match="is in no session"):
        record(Page(), "Something")
    with pytest.raises(CommandError, match="1 to 200 characters"):
        record(page, "")
    with pytest.raises(CommandError, match=r"Something: what cannot stand in an event: a value of type object"):
        record(page, "Something", what=object())
    session.rollback()


WRITER = """
import random, sys
from sqlalchemy import create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from lithair_sqla import EventSourced, record

class Base(DeclarativeBase):
    pass

class Page(EventSourced, Base):
    __tablename__ = "page"
    id: Mapped[int] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(default=0)

url, what, first, seed = sys.argv[1:]
engine, chance = create_engine(url), random.Random(int(seed))
with Session(engine) as session:
    pages = session.scalars(select(Page).where(Page.id >= int(first)).order_by(Page.id)).all()
    for turn in range(25):
        chosen = chance.sample(pages, 12)
        for page in chosen:
            if what == "note":
                record(page, "Seen", turn=turn)
            else:
                page.n = turn * 1000 + page.id
        session.commit()
        session.scalars(select(Page).where(Page.id >= int(first))).all()
engine.dispose()
print("done")
"""


def test_notes_and_changes_of_several_processes_never_deadlock(
    engine: Engine, process: Callable[..., Any], log: Any
) -> None:
    """Rows 95 to 110 of a decade: their keys sort otherwise as texts than as numbers."""
    with Session(engine) as session:
        session.add_all([Page(id=number) for number in range(99_990, 100_010)])
        session.commit()

    running = [
        process(WRITER, what, "99990", str(seed)) for seed, what in enumerate(["note", "change", "note", "change"])
    ]

    assert [one.end() for one in running] == ["done"] * 4
    assert sum(found.type == "Seen" for found in log("Page")) >= 2 * 25 * 12
