"""lithair_sqla: the mixin on the same models, and ``EventStore`` for streams without a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from uuid import UUID

from sqlalchemy import URL, Connection, Engine, create_engine, select, text
from sqlalchemy.orm import DeclarativeBase, Session

from benchmarks.subjects.interfaces import Data, Orm, Reader
from benchmarks.subjects.models import ProductColumns, WideColumns
from lithair_sqla import EventSourced, EventStore, ExpectedVersion, NewEvent, StreamId, as_of, create_all
from lithair_sqla.types import StreamAppend


class Base(DeclarativeBase):
    """Registry of this subject's models."""


class Product(EventSourced, ProductColumns, Base):
    """Eight columns."""

    __tablename__ = "product"


class Wide(EventSourced, WideColumns, Base):  # type: ignore[misc]
    """Thirty columns."""

    __tablename__ = "wide"


def open_orm(url: URL, *, create: bool) -> Orm:
    """Make the tables and return the models."""
    engine = create_engine(url)
    if create:
        create_all(engine, Base.metadata)
    return Orm(engine=engine, product=Product, wide=Wide, recorded=_recorded, past=_past)


@contextmanager
def _past(session: Session, moment: datetime) -> Iterator[Reader]:
    with as_of(session, moment) as past:
        yield lambda key: past.scalars(select(Product).where(Product.id == key)).one()


def _recorded(connection: Connection) -> int:
    found: int = connection.execute(text("SELECT count(*) FROM lithair_events")).scalar_one()
    return found


class OurLog:
    """``EventStore``, a connection of the pool for each call.

    Args:
        engine: with as many connections as there are writers.
        writing: the same engine, or one in AUTOCOMMIT mode.
    """

    def __init__(self, engine: Engine, writing: Engine) -> None:
        self._engine = engine
        self._writing = writing
        # Reads need no transaction: without one they save its two round trips.
        self._reading = engine.execution_options(isolation_level="AUTOCOMMIT")

    def append(self, stream: UUID, events: Sequence[Data], expected: int | None) -> int:
        """Append in a transaction of its own."""
        wanted = ExpectedVersion.ANY if expected is None else expected or ExpectedVersion.NO_STREAM
        with self._writing.begin() as connection:
            result = EventStore(connection).append(_stream(stream), _events(events), expected=wanted)
        return result.versions[-1]

    def append_many(self, streams: Sequence[tuple[UUID, Sequence[Data]]]) -> None:
        """Append by COPY, in one transaction."""
        with self._engine.begin() as connection:
            EventStore(connection).append_many(StreamAppend(_stream(key), _events(events)) for key, events in streams)

    def read(self, stream: UUID) -> int:
        """Read the events as records."""
        with self._reading.connect() as connection:
            return len(EventStore(connection).read_stream(_stream(stream)))

    def rebuild(self, stream: UUID) -> Data:
        """Fold newest snapshot and tail."""
        with self._reading.connect() as connection:
            state = EventStore(connection).load(_stream(stream)).state
        return state or {}

    def snapshot(self, stream: UUID) -> None:
        """Fold and keep the state."""
        with self._engine.begin() as connection:
            store = EventStore(connection)
            state, version = store.load(_stream(stream))
            store.save_snapshot(_stream(stream), version, state or {})

    def size_bytes(self) -> dict[str, int]:
        """Return what the log's leaves and the streams take."""
        statement = text(
            "SELECT (SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('lithair_events')),"
            " pg_total_relation_size('lithair_streams')"
        )
        with self._reading.connect() as connection:
            events, streams = connection.execute(statement).one()
        return {"events": int(events), "streams": int(streams)}

    def count(self) -> int:
        """Count the events."""
        with self._reading.connect() as connection:
            return _recorded(connection)

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()


def _stream(key: UUID) -> StreamId:
    return StreamId("Order", str(key))


def _events(events: Sequence[Data]) -> list[NewEvent]:
    return [NewEvent("OrderChanged", data) for data in events]


def open_log(url: URL, *, create: bool, connections: int, autocommit: bool = False) -> OurLog:
    """Make the tables and open the pool."""
    engine = create_engine(url, pool_size=connections, max_overflow=0)
    if create:
        create_all(engine)
    return OurLog(engine, engine.execution_options(isolation_level="AUTOCOMMIT") if autocommit else engine)
