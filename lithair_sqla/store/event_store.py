"""``EventStore``: the log of one database, by way of a connection.

::

    with engine.begin() as connection:
        store = EventStore(connection)
        store.append(("Account", "42"), NewEvent("Deposited", {"balance": 100}), expected=ExpectedVersion.NO_STREAM)
        state, version = store.load(("Account", "42"))

It works on a ``Connection`` (a session's is ``session.connection()``) inside the caller's transaction, and never
commits it, rolls it back or opens a connection of its own. It costs nothing to make: make one where you need one.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from lithair_sqla.context import IDEMPOTENCY_TTL
from lithair_sqla.errors import OptionError
from lithair_sqla.options import StorageConfig
from lithair_sqla.store import folding, ingest, reading
from lithair_sqla.store.append import append_streams
from lithair_sqla.store.encoding import StreamLike, stream_of
from lithair_sqla.store.execution import Channel
from lithair_sqla.store.rows import stream_info
from lithair_sqla.types import AppendResult, ExpectedVersion, NewEvent, StreamAppend

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import timedelta

    from sqlalchemy import Connection

    from lithair_sqla.schema.tables import LibraryTables
    from lithair_sqla.types import Event, Snapshot, StreamId, StreamInfo

__all__ = ["EventStore"]


class EventStore:
    """Appends, reads and snapshots of one store, in the caller's transaction.

    Every stream is given as a ``StreamId`` or as ``(name, key)``. Numbers with a fraction come back as ``float``, or as
    ``Decimal``, digit for digit, with ``exact_numbers=True``.

    Args:
        connection: on the store's database, through psycopg.
        config: which store; ``None`` takes ``library``'s, else the defaults.
        library: the tables of the user's metadata, for their configuration.
        exact_numbers: give numbers with a fraction as ``Decimal``.
    """

    __slots__ = ("_channel", "_exact")

    def __init__(
        self,
        connection: Connection,
        *,
        config: StorageConfig | None = None,
        library: LibraryTables | None = None,
        exact_numbers: bool = False,
    ) -> None:
        if library is not None:
            if config is not None and config != library.config:
                raise OptionError("EventStore(config=…, library=…) contradict each other: give one of them")
            config = library.config
        self._channel = Channel(connection, config or StorageConfig())
        self._exact = exact_numbers

    def __repr__(self) -> str:
        """Show the connection and which store."""
        return f"EventStore({self._channel.connection!r}, config={self._channel.config!r})"

    def _stream(self, stream: StreamLike) -> StreamId:
        return stream_of(stream, tenant=self._channel.config.tenant_id)

    # ------------------------------------------------------------------------------------------------- append

    def append(
        self,
        stream: StreamLike,
        events: NewEvent | Sequence[NewEvent],
        *,
        expected: int | ExpectedVersion = ExpectedVersion.ANY,
        idempotency_key: str | None = None,
        idempotency_ttl: timedelta = IDEMPOTENCY_TTL,
    ) -> AppendResult:
        """Append events to one stream; one statement.

        Who and why come from ``context()``. An idempotency key of the context covers all that is written inside its
        block, through the ORM too; its second use raises ``DuplicateCommand``. One given here covers this append, and
        its second use is answered with the first one's result.

        Args:
            stream: to which; it begins with its first event.
            events: one or several, in order.
            expected: the version the stream must be at: a version, or ``NO_STREAM``, ``EXISTS``, ``ANY``.
            idempotency_key: names the command, 1 to 1,000 characters: a second append under it writes nothing and
                answers with the first one's positions and versions.
            idempotency_ttl: how long the key is kept.

        Returns:
            Positions and versions, one an event.

        Raises:
            ConcurrencyError: the stream is at another version. The transaction can only be rolled back.
            DuplicateCommand: the key was used for other events, or the context's was used before.
            InvalidEventError: an event cannot be stored; nothing was sent.
            WriteRefusedError: the stream belongs to a table, and an event is not a note.
        """
        several = (events,) if isinstance(events, NewEvent) else tuple(events)
        return self.append_streams(
            (StreamAppend(self._stream(stream), several, expected),),
            idempotency_key=idempotency_key,
            idempotency_ttl=idempotency_ttl,
        )

    def append_streams(
        self,
        appends: Sequence[StreamAppend],
        *,
        idempotency_key: str | None = None,
        idempotency_ttl: timedelta = IDEMPOTENCY_TTL,
    ) -> AppendResult:
        """Append to several streams at once, all or none; one statement, locks taken in the order of the keys.

        Args:
            appends: each stream once.
            idempotency_key: as in ``append``, for all of them together.
            idempotency_ttl: how long the key is kept.

        Returns:
            Positions and versions, one an event, in the order given.

        Raises:
            ConcurrencyError: names every stream that is at another version.
            DuplicateCommand: the key was used for other events.
            InvalidEventError: an event cannot be stored, or a stream stands there twice; nothing was sent.
            WriteRefusedError: a stream belongs to a table, and an event is not a note.
        """
        return append_streams(self._channel, appends, idempotency_key=idempotency_key, idempotency_ttl=idempotency_ttl)

    def append_many(
        self,
        appends: Iterable[StreamAppend],
        *,
        batch_size: int = ingest.BATCH_SIZE,
        progress: Callable[[int], None] | None = None,
    ) -> ingest.IngestSummary:
        """Append any number of events under the same rules, by COPY where the role may write to the log.

        Memory holds one batch. All is written or nothing: a savepoint is rolled back on any error. A stream may come
        again; its events keep the order given. Until the transaction ends, readers in order wait below its first event:
        for hours of ingest, commit now and then.

        Args:
            appends: consumed as it is sent.
            batch_size: events that travel together.
            progress: called after each batch with the number of events written.

        Raises:
            ConcurrencyError: streams of one batch that are at another version, found before it draws a position.
            InvalidEventError: an event cannot be stored.
            StoreError: the connection is in AUTOCOMMIT.
            WriteRefusedError: a stream belongs to a table, and an event is not a note.
        """
        return ingest.append_many(self._channel, appends, batch_size=batch_size, progress=progress)

    # --------------------------------------------------------------------------------------------------- read

    def read_stream(
        self,
        stream: StreamLike,
        *,
        from_version: int = 1,
        to_version: int | None = None,
        limit: int | None = None,
        backwards: bool = False,
    ) -> list[Event]:
        """Read events of one stream; an empty list where there is none.

        Args:
            stream: whose.
            from_version: the lowest version.
            to_version: the highest; ``None`` is the newest.
            limit: at most so many, from the end where the reading begins.
            backwards: newest first.
        """
        return reading.stream_events(
            self._channel,
            self._stream(stream),
            first=from_version,
            last=to_version,
            limit=limit,
            backwards=backwards,
            exact_numbers=self._exact,
        )

    def iter_stream(
        self,
        stream: StreamLike,
        *,
        from_version: int = 1,
        to_version: int | None = None,
        backwards: bool = False,
        page: int = reading.PAGE,
    ) -> Iterator[Event]:
        """Walk through a long stream, ``page`` events in memory at a time, up to the version it has at the start."""
        pages = reading.stream_pages(
            self._channel,
            self._stream(stream),
            first=from_version,
            last=to_version,
            page=page,
            backwards=backwards,
            exact_numbers=self._exact,
        )
        return chain.from_iterable(pages)

    def read_all(
        self,
        *,
        after: int = 0,
        limit: int = reading.PAGE,
        names: Collection[str] | None = None,
        types: Collection[str] | None = None,
    ) -> list[Event]:
        """Read events of all streams in the order of their positions, up to the horizon; two statements.

        Call it again with the last event's position as ``after`` to follow the log: nothing is missed and nothing comes
        twice, however many write at the same time. Keep that position, never the horizon.

        Args:
            after: the position of the last event that was read.
            limit: at most so many.
            names: only streams of these names.
            types: only events of these types.

        Raises:
            OrderedReadError: the transaction is not READ COMMITTED, or the server is a standby.
        """
        return reading.all_events(
            self._channel, after=after, limit=limit, names=names, types=types, exact_numbers=self._exact
        )

    def iter_all(
        self,
        *,
        after: int = 0,
        names: Collection[str] | None = None,
        types: Collection[str] | None = None,
        page: int = reading.PAGE,
    ) -> Iterator[Event]:
        """Walk through ``read_all``'s events, ``page`` in memory at a time, up to the horizon at the start.

        Raises:
            OrderedReadError: the transaction is not READ COMMITTED, or the server is a standby.
        """
        pages = reading.all_pages(
            self._channel, after=after, page=page, names=names, types=types, exact_numbers=self._exact
        )
        return chain.from_iterable(pages)

    def horizon(self) -> int:
        """Return the highest position below which nothing can still appear; 0 in an empty log.

        Raises:
            OrderedReadError: the transaction is not READ COMMITTED, or the server is a standby.
        """
        return reading.horizon(self._channel)

    def stream(self, stream: StreamLike) -> StreamInfo | None:
        """Return what the store knows of a stream, or ``None``."""
        found = self._stream(stream)
        row = self._channel.row(self._channel.statements.stream, (found.tenant, found.name, found.key))
        return None if row is None else stream_info(found.tenant, found.name, row)

    def streams(self, name: str, *, after_key: str | None = None, limit: int = reading.PAGE) -> list[StreamInfo]:
        """Return streams of a name in the order of their keys, at most ``limit``, those after a key."""
        return reading.streams_named(self._channel, name, after_key=after_key, limit=limit)

    def iter_streams(self, name: str, *, page: int = reading.PAGE) -> Iterator[StreamInfo]:
        """Walk through all streams of a name in the order of their keys, ``page`` in memory at a time."""
        return chain.from_iterable(reading.streams_pages(self._channel, name, page=page))

    # --------------------------------------------------------------------------------------------- state

    def load(
        self, stream: StreamLike, *, fold: folding.Fold = folding.merge, fingerprint: str | None = None
    ) -> folding.StreamState:
        """Fold a stream's newest usable snapshot and the events after it; two statements at most.

        Args:
            stream: whose state.
            fold: applies one event to a state; without it each event's ``data`` is merged.
            fingerprint: trust only snapshots saved under it: give it when you change ``fold``.

        Returns:
            ``(state, version)``: ``(None, 0)`` where there is no stream, ``None`` as state where it has ended.
        """
        return folding.load(
            self._channel, self._stream(stream), apply=fold, fingerprint=fingerprint, exact_numbers=self._exact
        )

    def snapshot(self, stream: StreamLike, *, fingerprint: str | None = None) -> Snapshot | None:
        """Return the newest snapshot of a stream, or the newest under a fingerprint; ``None`` where there is none."""
        return folding.newest_snapshot(
            self._channel, self._stream(stream), fingerprint=fingerprint, exact_numbers=self._exact
        )

    def save_snapshot(
        self,
        stream: StreamLike,
        version: int,
        state: Mapping[str, Any],
        *,
        schema_version: int = 1,
        fingerprint: str | None = None,
        keep: int | None = None,
    ) -> int:
        """Keep the state that a stream's events up to a version fold to.

        Args:
            stream: one that belongs to no table (a table's guard takes its snapshots).
            version: of the last event folded.
            state: the result.
            schema_version: shape of the state.
            fingerprint: names the fold that made it.
            keep: how many of the stream stay, newest first; ``None`` is the configuration's number.

        Returns:
            The position of the version's event.

        Raises:
            StreamNotFoundError: the stream has no such version.
            InvalidEventError: the state is not JSON.
            WriteRefusedError: the stream belongs to a table.
        """
        return folding.save_snapshot(
            self._channel,
            self._stream(stream),
            version,
            state,
            schema_version=schema_version,
            fingerprint=fingerprint,
            keep=keep,
        )
