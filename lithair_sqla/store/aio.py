"""``AsyncEventStore``: the same store over an ``AsyncConnection``, each method run by SQLAlchemy's greenlet bridge."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from lithair_sqla.context import IDEMPOTENCY_TTL
from lithair_sqla.errors import StoreError
from lithair_sqla.store import folding, ingest, reading
from lithair_sqla.store.event_store import EventStore
from lithair_sqla.types import ExpectedVersion

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import timedelta

    from sqlalchemy.ext.asyncio import AsyncConnection

    from lithair_sqla.options import StorageConfig
    from lithair_sqla.schema.tables import LibraryTables
    from lithair_sqla.store.encoding import StreamLike
    from lithair_sqla.types import AppendResult, Event, NewEvent, Snapshot, StreamAppend, StreamInfo

__all__ = ["AsyncEventStore"]

P = ParamSpec("P")
T = TypeVar("T")


class AsyncEventStore:
    """``EventStore`` for ``async with``: see there for what each method does.

    Args:
        connection: on the store's database, through psycopg (a session's is ``await session.connection()``).
        config: which store; ``None`` takes ``library``'s, else the defaults.
        library: the tables of the user's metadata, for their configuration.
        exact_numbers: give numbers with a fraction as ``Decimal``.
    """

    __slots__ = ("_connection", "_store")

    def __init__(
        self,
        connection: AsyncConnection,
        *,
        config: StorageConfig | None = None,
        library: LibraryTables | None = None,
        exact_numbers: bool = False,
    ) -> None:
        if connection.sync_connection is None:
            raise StoreError("the connection is not open yet: use it inside `async with engine.connect()`")
        self._connection = connection
        self._store = EventStore(
            connection.sync_connection, config=config, library=library, exact_numbers=exact_numbers
        )

    async def _run(self, method: Callable[Concatenate[EventStore, P], T], *args: P.args, **keywords: P.kwargs) -> T:
        return await self._connection.run_sync(lambda _: method(self._store, *args, **keywords))

    async def _walk(self, start: Callable[[], Iterator[T]], page: int) -> AsyncIterator[T]:
        """Walk through a sync iterator, one crossing of the bridge a page."""
        items = await self._connection.run_sync(lambda _: start())
        while found := await self._connection.run_sync(lambda _: list(islice(items, page))):
            for item in found:
                yield item

    async def append(
        self,
        stream: StreamLike,
        events: NewEvent | Sequence[NewEvent],
        *,
        expected: int | ExpectedVersion = ExpectedVersion.ANY,
        idempotency_key: str | None = None,
        idempotency_ttl: timedelta = IDEMPOTENCY_TTL,
    ) -> AppendResult:
        """Append events to one stream."""
        return await self._run(
            EventStore.append,
            stream,
            events,
            expected=expected,
            idempotency_key=idempotency_key,
            idempotency_ttl=idempotency_ttl,
        )

    async def append_streams(
        self,
        appends: Sequence[StreamAppend],
        *,
        idempotency_key: str | None = None,
        idempotency_ttl: timedelta = IDEMPOTENCY_TTL,
    ) -> AppendResult:
        """Append to several streams at once."""
        return await self._run(
            EventStore.append_streams, appends, idempotency_key=idempotency_key, idempotency_ttl=idempotency_ttl
        )

    async def append_many(
        self,
        appends: Iterable[StreamAppend],
        *,
        batch_size: int = ingest.BATCH_SIZE,
        progress: Callable[[int], None] | None = None,
    ) -> ingest.IngestSummary:
        """Append any number of events."""
        return await self._run(EventStore.append_many, appends, batch_size=batch_size, progress=progress)

    async def read_stream(
        self,
        stream: StreamLike,
        *,
        from_version: int = 1,
        to_version: int | None = None,
        limit: int | None = None,
        backwards: bool = False,
    ) -> list[Event]:
        """Read events of one stream."""
        return await self._run(
            EventStore.read_stream,
            stream,
            from_version=from_version,
            to_version=to_version,
            limit=limit,
            backwards=backwards,
        )

    def iter_stream(
        self,
        stream: StreamLike,
        *,
        from_version: int = 1,
        to_version: int | None = None,
        backwards: bool = False,
        page: int = reading.PAGE,
    ) -> AsyncIterator[Event]:
        """Walk through a long stream with ``async for``."""
        return self._walk(
            lambda: self._store.iter_stream(
                stream, from_version=from_version, to_version=to_version, backwards=backwards, page=page
            ),
            page,
        )

    async def read_all(
        self,
        *,
        after: int = 0,
        limit: int = reading.PAGE,
        names: Collection[str] | None = None,
        types: Collection[str] | None = None,
    ) -> list[Event]:
        """Read events of all streams in order, up to the horizon."""
        return await self._run(EventStore.read_all, after=after, limit=limit, names=names, types=types)

    def iter_all(
        self,
        *,
        after: int = 0,
        names: Collection[str] | None = None,
        types: Collection[str] | None = None,
        page: int = reading.PAGE,
    ) -> AsyncIterator[Event]:
        """Walk through all events with ``async for``."""
        return self._walk(lambda: self._store.iter_all(after=after, names=names, types=types, page=page), page)

    async def horizon(self) -> int:
        """Return the highest position below which nothing can still appear."""
        return await self._run(EventStore.horizon)

    async def stream(self, stream: StreamLike) -> StreamInfo | None:
        """Return what the store knows of a stream."""
        return await self._run(EventStore.stream, stream)

    async def streams(self, name: str, *, after_key: str | None = None, limit: int = reading.PAGE) -> list[StreamInfo]:
        """Return streams of a name in the order of their keys."""
        return await self._run(EventStore.streams, name, after_key=after_key, limit=limit)

    def iter_streams(self, name: str, *, page: int = reading.PAGE) -> AsyncIterator[StreamInfo]:
        """Walk through all streams of a name with ``async for``."""
        return self._walk(lambda: self._store.iter_streams(name, page=page), page)

    async def load(
        self, stream: StreamLike, *, fold: folding.Fold = folding.merge, fingerprint: str | None = None
    ) -> folding.StreamState:
        """Fold a stream's newest usable snapshot and the events after it."""
        return await self._run(EventStore.load, stream, fold=fold, fingerprint=fingerprint)

    async def snapshot(self, stream: StreamLike, *, fingerprint: str | None = None) -> Snapshot | None:
        """Return the newest snapshot of a stream."""
        return await self._run(EventStore.snapshot, stream, fingerprint=fingerprint)

    async def save_snapshot(
        self,
        stream: StreamLike,
        version: int,
        state: Mapping[str, Any],
        *,
        schema_version: int = 1,
        fingerprint: str | None = None,
        keep: int | None = None,
    ) -> int:
        """Keep the state that a stream's events up to a version fold to."""
        return await self._run(
            EventStore.save_snapshot,
            stream,
            version,
            state,
            schema_version=schema_version,
            fingerprint=fingerprint,
            keep=keep,
        )
