"""Many-to-many tables: guarded with the classes that they join, with and without a primary key."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Column, Engine, ForeignKey, Integer, Table, insert, text
from sqlalchemy.ext.associationproxy import AssociationProxy, association_proxy
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from lithair_sqla import EventSourced, Persistence, audit, create_all, rebuild

if TYPE_CHECKING:
    from tests.integration.conftest import Log

Run = Callable[..., Any]


class Base(DeclarativeBase):
    pass


keyed = Table(
    "article_tag",
    Base.metadata,
    Column("article_id", ForeignKey("article.id", ondelete="CASCADE"), primary_key=True),
    Column("tag_id", ForeignKey("tag.id"), primary_key=True),
)
keyless = Table(
    "article_reader",
    Base.metadata,
    Column("article_id", ForeignKey("article.id")),
    Column("reader_id", ForeignKey("reader.id")),
    Column("times", Integer, server_default="1"),
)


class Article(EventSourced, Base):
    __tablename__ = "article"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    tags: Mapped[list[Tag]] = relationship(secondary=keyed, back_populates="articles", passive_deletes=True)
    readers: Mapped[set[Reader]] = relationship(secondary=keyless)
    shelves: Mapped[list[Placed]] = relationship(cascade="all, delete-orphan")
    shelf_names: AssociationProxy[list[str]] = association_proxy(
        "shelves", "shelf", creator=lambda shelf: Placed(shelf=shelf)
    )


class Tag(EventSourced, Base):
    __tablename__ = "tag"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    articles: Mapped[list[Article]] = relationship(secondary=keyed, back_populates="tags")


class Reader(Base):
    """Without events of its own; the table that joins it has them."""

    __tablename__ = "reader"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


class Placed(EventSourced, Base):
    """An association object."""

    __tablename__ = "placed"
    __persistence__ = Persistence(name="ArticlePlaced")

    article_id: Mapped[int] = mapped_column(ForeignKey(Article.id), primary_key=True)
    shelf: Mapped[str] = mapped_column(primary_key=True)
    note: Mapped[str | None]


@pytest.fixture
def session(engine: Engine) -> Any:
    create_all(engine, Base)
    with Session(engine) as session:
        yield session


def test_what_joins_two_objects_is_a_stream_of_the_association_table(session: Session, log: Log) -> None:
    article = Article(id=1, tags=[Tag(id=1), Tag(id=2)])
    session.add(article)
    session.commit()
    article.tags.pop(0)
    session.commit()
    tag = session.get_one(Tag, 1)
    tag.articles.append(article)
    session.commit()
    assert log.kinds("article_tag", '["1", "1"]') == "cdc"
    assert log.kinds("article_tag", '["1", "2"]') == "c"
    assert log.types("article_tag")[:1] == ["article_tagCreated"]
    session.delete(article)
    session.commit()
    assert log.kinds("article_tag", '["1", "2"]') == "cd"


def test_a_table_without_a_primary_key_is_known_by_all_its_columns(session: Session, log: Log, run: Run) -> None:
    article = Article(id=1, readers={Reader(id=1), Reader(id=2)})
    session.add(article)
    session.commit()
    article.readers.clear()
    session.commit()
    assert log.kinds("article_reader", '["1", "1", "1"]') == "cd"
    run("INSERT INTO article_reader VALUES (1, NULL, NULL), (NULL, 2, 0)")
    run("UPDATE article_reader SET times = 5 WHERE reader_id IS NULL")
    assert log.kinds("article_reader", '["1", null, null]') == "cd"
    assert log.kinds("article_reader", '["1", null, "5"]') == "c"
    run("DELETE FROM article_reader WHERE article_id IS NULL")
    assert log.kinds("article_reader", '[null, "2", "0"]') == "cd"


def test_association_tables_are_rebuilt(session: Session, engine: Engine, run: Run) -> None:
    session.add(Article(id=1, tags=[Tag(id=1), Tag(id=2)], readers={Reader(id=1)}))
    session.commit()
    run("INSERT INTO article_reader VALUES (1, NULL, NULL)")
    before = run("SELECT * FROM article_reader ORDER BY 1, 2"), run("SELECT * FROM article_tag ORDER BY 1, 2")
    for table in ("article_reader", "article_tag"):
        run(f'ALTER TABLE {table} DISABLE TRIGGER "!lithair_guard"')
        run(f"DELETE FROM {table}")
        run(f'ALTER TABLE {table} ENABLE ALWAYS TRIGGER "!lithair_guard"')
    assert rebuild(engine, keyed)[0].written == 2
    assert rebuild(engine, keyless)[0].written == 2
    assert rebuild(engine, keyless)[0].written == 0
    assert before == (run("SELECT * FROM article_reader ORDER BY 1, 2"), run("SELECT * FROM article_tag ORDER BY 1, 2"))


@pytest.mark.lithair_audit(enabled=False)
def test_a_row_that_stands_twice_in_a_table_without_a_key_is_told_by_the_audit(session: Session) -> None:
    session.add_all([Article(id=1), Reader(id=1)])
    session.flush()
    session.execute(insert(keyless), [{"article_id": 1, "reader_id": 1}] * 2)
    report = audit(session, keyless)
    assert [(found.problem, found.columns) for found in report.differences] == [("extra", {"times": (2, None)})]
    session.execute(text("DELETE FROM article_reader"))
    assert audit(session, keyless)


def test_an_association_object_and_its_proxy(session: Session, log: Log) -> None:
    article = Article(id=1)
    article.shelf_names.extend(["a", "b"])
    session.add(article)
    session.commit()
    article.shelf_names.remove("a")
    article.shelves[0].note = "top"
    session.commit()
    assert log.kinds("ArticlePlaced", '["1", "a"]') == "cd"
    assert log.data("ArticlePlaced", '["1", "b"]')[-1] == {"note": "top"}
