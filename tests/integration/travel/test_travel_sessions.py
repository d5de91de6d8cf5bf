"""Sessions of every kind have a past; what it sees, how long it lives, and what it leaves alone."""

from __future__ import annotations

import asyncio
import gc
import pickle
import weakref
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import URL, Engine, ForeignKey, event, select, text
from sqlalchemy.ext.asyncio import (
    AsyncAttrs,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
    relationship,
    scoped_session,
    selectinload,
    sessionmaker,
    with_loader_criteria,
)
from sqlalchemy.orm.exc import DetachedInstanceError

from lithair_sqla import EventSourced, StorageConfig, as_of, create_all
from lithair_sqla.errors import MomentError, PastSessionError
from lithair_sqla.model.travel import PastSession
from lithair_sqla.schema.tables import LibraryTables

from .conftest import Life
from .shapes import SHAPES

LONG_AGO = 2
"""The position at which the library has one author with one book."""


@pytest.fixture
def library(engine: Engine) -> SimpleNamespace:
    """Authors and books; the first author was renamed and has lost a book."""

    class Base(AsyncAttrs, DeclarativeBase):
        pass

    class Author(EventSourced, Base):
        __tablename__ = "author"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        books: Mapped[list[Any]] = relationship("Book", back_populates="author", cascade="all, delete-orphan")

    class Book(EventSourced, Base):
        __tablename__ = "book"
        id: Mapped[int] = mapped_column(primary_key=True)
        author_id: Mapped[int] = mapped_column(ForeignKey("author.id"))
        author: Mapped[Author] = relationship(back_populates="books")

    create_all(engine, Base)
    with Session(engine) as session:
        session.add(Author(id=1, name="Currer Bell", books=[Book(id=1)]))
        session.commit()
        author = session.get_one(Author, 1)
        author.name, author.books = "Charlotte Brontë", []
        session.commit()
    return SimpleNamespace(Author=Author, Book=Book, metadata=Base.metadata)


def name_then(session: Any, library: SimpleNamespace) -> str:
    with as_of(session, LONG_AGO) as past:
        author = past.get_one(library.Author, 1)
        assert [book.id for book in author.books] == [1]
        found: str = author.name
        return found


# ------------------------------------------------------------------------------------------------ every kind


def test_sessions_of_every_kind(engine: Engine, library: SimpleNamespace) -> None:
    class Own(Session):
        def __init__(self, something: int, **keywords: Any) -> None:
            self.something = something
            super().__init__(**keywords)

    with engine.connect() as connection:
        for session in (
            Session(engine),
            sessionmaker(engine)(),
            Own(7, bind=engine),
            scoped_session(sessionmaker(engine)),
            Session(connection),
            Session(binds={library.Author: engine, library.Book: engine}),
        ):
            assert name_then(session, library) == "Currer Bell"
            assert session.get_one(library.Author, 1).name == "Charlotte Brontë"
            session.close()


def test_a_session_in_autocommit(engine: Engine, library: SimpleNamespace) -> None:
    with Session(engine.execution_options(isolation_level="AUTOCOMMIT")) as session:
        assert name_then(session, library) == "Currer Bell"


def test_a_past_of_a_past_is_one_of_the_present(engine: Engine, library: SimpleNamespace) -> None:
    with Session(engine) as session, as_of(session, 0) as nothing, as_of(nothing, LONG_AGO) as past:
        assert nothing.get(library.Author, 1) is None
        assert past.get_one(library.Author, 1).name == "Currer Bell"
        assert past.live is session


def test_two_moments_side_by_side(engine: Engine, library: SimpleNamespace) -> None:
    with Session(engine) as session, as_of(session, LONG_AGO) as then, as_of(session, timedelta(0)) as now:
        old, new, live = (each.get_one(library.Author, 1) for each in (then, now, session))
        assert len({old, new, live}) == 3
        assert (old.name, new.name, live.name) == ("Currer Bell", "Charlotte Brontë", "Charlotte Brontë")
        assert (len(old.books), len(new.books)) == (1, 0)
        assert then.get(library.Author, 1) is old


def test_several_stores_with_a_time_and_not_with_a_position(engine: Engine, library: SimpleNamespace) -> None:
    class Other(DeclarativeBase):
        pass

    class Note(EventSourced, Other):
        __tablename__ = "note"
        id: Mapped[int] = mapped_column(primary_key=True)

    LibraryTables.of(Other.metadata, StorageConfig(prefix="second_"))
    create_all(engine, Other)
    with Session(engine) as session:
        session.add(Note(id=1))
        session.commit()
        with as_of(session, timedelta(0)) as past:
            assert past.get(Note, 1) is not None
            assert past.get(library.Author, 1) is not None
        with as_of(session, timedelta(0)) as past, pytest.raises(MomentError, match="several stores"):
            _ = past.position
        with as_of(session, 1) as past:
            assert past.get(Note, 1) is not None
            with pytest.raises(MomentError, match="second one"):
                past.get(library.Author, 1)


# ------------------------------------------------------------------------------------------------ listeners and maps


def test_a_filter_of_the_live_session_filters_the_past_too(engine: Engine, library: SimpleNamespace) -> None:
    """A session that shows only some rows must not show the others by way of the past."""
    makers = sessionmaker(engine), sessionmaker(engine)
    instance = makers[1]()

    def only_some(state: Any) -> None:
        if state.is_select:
            state.statement = state.statement.options(with_loader_criteria(library.Author, library.Author.id > 1))

    event.listen(makers[0], "do_orm_execute", only_some)
    event.listen(instance, "do_orm_execute", only_some)
    with makers[0]() as session, as_of(session, LONG_AGO) as past:
        assert past.scalars(select(library.Author)).all() == []
    with instance as session, as_of(session, LONG_AGO) as past:
        assert past.scalars(select(library.Author)).all() == []
    with makers[1]() as session, as_of(session, LONG_AGO) as past:
        assert len(past.scalars(select(library.Author)).all()) == 1


def test_a_filter_that_adds_tables_is_followed(engine: Engine, library: SimpleNamespace) -> None:
    with Session(engine) as session:

        @event.listens_for(session, "do_orm_execute")
        def only_with_books(state: Any) -> None:
            criteria = with_loader_criteria(library.Author, library.Author.books.any())
            state.statement = state.statement.options(criteria)

        assert session.scalars(select(library.Author)).all() == []
        with as_of(session, LONG_AGO) as past:
            assert len(past.scalars(select(library.Author)).all()) == 1


def test_what_a_session_knows_of_itself_is_handed_on(engine: Engine, library: SimpleNamespace) -> None:
    with Session(engine, info={"tenant": 7}) as session, as_of(session, LONG_AGO) as past:
        assert past.info["tenant"] == 7
        past.info["tenant"] = 8
        assert session.info["tenant"] == 7


@pytest.mark.parametrize("where", ["engine", "statement"])
def test_a_schema_translate_map_of_the_users_own(long_life: Life, where: str) -> None:
    own = {None: "public", "depot": "depot"}
    engine = long_life.engine.execution_options(schema_translate_map=own) if where == "engine" else long_life.engine
    commit = long_life.commits[3]
    with Session(engine) as live, as_of(live, commit.position) as past:
        if where == "statement":

            @event.listens_for(past, "do_orm_execute", insert=True)
            def with_map(state: Any) -> None:
                state.update_execution_options(schema_translate_map=own)

        for shape in SHAPES:
            past.expunge_all()
            with long_life.oracle(commit) as oracle:
                assert shape(past, long_life.shop) == shape(oracle, long_life.shop), shape.__name__


# ------------------------------------------------------------------------------------------------ life and death


def test_the_live_transaction_may_end_in_between(engine: Engine, library: SimpleNamespace) -> None:
    with Session(engine) as session, as_of(session, LONG_AGO) as past:
        author = past.get_one(library.Author, 1)
        session.commit()
        assert [book.id for book in author.books] == [1]
        session.rollback()
        assert past.query(library.Author.name).all() == [("Currer Bell",)]
        session.get_one(library.Author, 1).name = "C. B."
        session.commit()
        assert past.query(library.Author.name).all() == [("Currer Bell",)]


def test_objects_load_what_they_lack_for_as_long_as_the_live_session_lives(
    engine: Engine, library: SimpleNamespace
) -> None:
    with Session(engine) as session:
        author = as_of(session, LONG_AGO).get_one(library.Author, 1)
        gc.collect()
        assert [book.id for book in author.books] == [1]


def test_a_closed_past_session_lets_go(engine: Engine, library: SimpleNamespace) -> None:
    with Session(engine) as session:
        with as_of(session, LONG_AGO) as past:
            author = past.get_one(library.Author, 1)
        assert author.name == "Currer Bell"
        with pytest.raises(DetachedInstanceError):
            _ = author.books
        gone = weakref.ref(past)
        del past, author
        gc.collect()
        assert gone() is None


def test_no_session_is_kept_alive_by_its_past(engine: Engine, library: SimpleNamespace) -> None:
    session = Session(engine)
    as_of(session, LONG_AGO).get(library.Author, 1)
    session.close()
    gone = weakref.ref(session)
    del session
    gc.collect()
    assert gone() is None


def test_an_error_in_the_past_is_the_live_transactions_error(engine: Engine, library: SimpleNamespace) -> None:
    with Session(engine) as session, as_of(session, LONG_AGO) as past:
        with pytest.raises(Exception, match="division by zero"):
            past.scalar(select(1 / (library.Author.id - 1)))
        session.rollback()
        assert past.get_one(library.Author, 1).name == "Currer Bell"


def test_past_objects_can_be_pickled_and_merged(engine: Engine, library: SimpleNamespace) -> None:
    with Session(engine) as session:
        with as_of(session, LONG_AGO) as past:
            author = past.scalars(select(library.Author).options(selectinload(library.Author.books))).one()
        back = session.merge(author)
        assert back.name == "Currer Bell"
        session.commit()
        assert session.get_one(library.Author, 1).name == "Currer Bell"
        assert [book.id for book in back.books] == [1]


def test_nothing_of_the_past_is_left_in_the_live_session(engine: Engine, library: SimpleNamespace) -> None:
    with Session(engine) as session, as_of(session, LONG_AGO) as past:
        past.query(library.Author).all()
        assert not session.identity_map.values()
        assert not session.dirty
        assert not session.new


# ------------------------------------------------------------------------------------------------ asyncio


def _async_url(url: URL) -> URL:
    return url.set(drivername="postgresql+psycopg")


def test_async_sessions(database_url: URL, library: SimpleNamespace) -> None:
    async def travel() -> None:
        engine = create_async_engine(_async_url(database_url))
        try:
            async with AsyncSession(engine) as session:
                await _see(session, library)
                with pytest.raises(MomentError, match="in the future"):
                    async with as_of(session, 10**9):
                        pass
            maker = async_sessionmaker(engine)
            registry = async_scoped_session(maker, scopefunc=lambda: 0)
            await _see(registry, library)
            await registry.remove()
        finally:
            await engine.dispose()

    asyncio.run(travel())


async def _see(session: Any, library: SimpleNamespace) -> None:
    async with as_of(session, LONG_AGO, explain=True) as past:
        assert (past.position, past.settled) == (2, True)
        author = await past.get(library.Author, 1)
        assert author.name == "Currer Bell"
        assert [book.id for book in await author.awaitable_attrs.books] == [1]
        assert (await past.scalars(select(library.Author.name))).all() == ["Currer Bell"]
        assert await past.scalar(select(library.Book.id).join(library.Book.author)) == 1
        streamed = await past.stream_scalars(select(library.Author))
        assert [found.name async for found in streamed] == ["Currer Bell"]
        assert len(past.explained) == 5
        attempts: list[Callable[[], Any]] = [
            past.flush,
            past.commit,
            past.connection,
            lambda: past.execute(text("SELECT 1")),
            lambda: past.merge(library.Author(id=1, name="x")),
        ]
        for attempt in attempts:
            with pytest.raises(PastSessionError):
                await attempt()
        with pytest.raises(PastSessionError):
            past.add(library.Author(id=2, name="x"))
    assert (await session.get(library.Author, 1)).name == "Charlotte Brontë"


def test_a_past_session_is_a_session(engine: Engine, library: SimpleNamespace) -> None:
    with Session(engine) as session, as_of(session, LONG_AGO) as past:
        assert isinstance(past, PastSession)
        assert isinstance(past, Session)
        assert past.asked == LONG_AGO
        assert past.object_session(past.get(library.Author, 1)) is past


def test_pickled_objects_do_not_bring_their_session_along(long_life: Life) -> None:
    with Session(long_life.engine) as live, as_of(live, long_life.commits[-1].position) as past:
        table = long_life.shop.Customer.__table__
        rows = past.execute(select(table)).all()
        assert pickle.loads(pickle.dumps([tuple(row) for row in rows])) == [tuple(row) for row in rows]  # noqa: S301
