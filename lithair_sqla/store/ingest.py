"""Bulk ingest: streams and positions reserved by one call a batch, events by binary COPY, in the caller's transaction.

A role that may not write to the log itself (only its owner, or a role made for ingest, may) sends the same batches
through the append: at half the speed, and with the same outcome.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import msgspec
from sqlalchemy.util import await_only

from lithair_sqla.context import current_context
from lithair_sqla.errors import OptionError, StoreError
from lithair_sqla.schema.names import quote
from lithair_sqla.store.append import append_batch, claim_command
from lithair_sqla.store.batch import Batch, Piece
from lithair_sqla.store.copy_rows import CopyRows, Origin, Reservation
from lithair_sqla.store.encoding import check_expected, stream_of
from lithair_sqla.types import ExpectedVersion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from lithair_sqla.store.execution import Channel
    from lithair_sqla.types import NewEvent, StreamAppend, StreamId

__all__ = ["BATCH_SIZE", "IngestSummary", "append_many"]

BATCH_SIZE: Final = 10_000
"""Events that travel together."""

_MAX_BATCH_BYTES: Final = 32 * 1024 * 1024
_FIRST_GUESS_BYTES: Final = 64 * 1024
"""How large an event is held to be before one was seen: it makes the first batch a small one."""


class IngestSummary(NamedTuple):
    """What ``append_many`` wrote.

    Attributes:
        events: how many.
        batches: in how many steps.
        first_position: of the first event; ``None`` where there was none.
        last_position: of the last one.
    """

    events: int
    batches: int
    first_position: int | None
    last_position: int | None


def append_many(
    channel: Channel,
    appends: Iterable[StreamAppend],
    *,
    batch_size: int,
    progress: Callable[[int], None] | None,
) -> IngestSummary:
    """Append any number of events in bounded memory: all of them, or none.

    Raises:
        OptionError: a wrong batch size.
        StoreError: the connection is in AUTOCOMMIT.
        InvalidEventError: an event or stream cannot be stored.
        ConcurrencyError: streams that are not where the caller expected them.
        DuplicateCommand: the context's idempotency key was used before.
    """
    if type(batch_size) is not int or batch_size < 1:
        raise OptionError(f"batch_size must be a whole number from 1, not {batch_size!r}")
    if channel.driver.autocommit:
        raise StoreError("append_many needs a transaction, and this connection is in AUTOCOMMIT")
    road = _road(channel)
    written, batches = 0, 0
    first: int | None = None
    last: int | None = None
    with channel.connection.begin_nested():
        claim_command(channel)
        for batch in _batches(appends, channel.config.tenant_id, batch_size, road):
            low, last = road.send(batch)
            first = low if first is None else first
            written += batch.count
            batches += 1
            if progress is not None:
                progress(written)
    return IngestSummary(written, batches, first, last)


class _Road(Protocol):
    """A way for batches to go."""

    def size(self, piece: Piece) -> int:
        """Return how many bytes a piece adds to a batch."""
        ...

    def send(self, batch: Batch) -> tuple[int, int]:
        """Write a batch; returns its first position and its last."""
        ...


def _batches(appends: Iterable[StreamAppend], tenant: int, batch_size: int, road: _Road) -> Iterator[Batch]:
    """Gather events; a batch also ends where a stream comes again and only the database can check what is expected."""
    batch, size = Batch(), 0
    for stream, expected, events, first_index in _slices(appends, tenant, batch_size):
        is_full = batch.count + len(events) > batch_size or size >= _MAX_BATCH_BYTES
        if batch.count and (is_full or not batch.takes(stream, expected)):
            yield batch
            batch, size = Batch(), 0
        size += road.size(batch.add(stream, expected, events, first_index=first_index))
    if batch.count:
        yield batch


def _slices(
    appends: Iterable[StreamAppend], tenant: int, batch_size: int
) -> Iterator[tuple[StreamId, int, Sequence[NewEvent], int]]:
    """Cut what is more than a batch for one stream; the lock on the stream holds the slices together."""
    for append in appends:
        stream = stream_of(append.stream, tenant=tenant)
        expected = check_expected(append.expected, stream)
        events = append.events
        if len(events) <= batch_size:
            yield stream, expected, events, 0
            continue
        for start in range(0, len(events), batch_size):
            yield stream, expected, events[start : start + batch_size], start
            expected = ExpectedVersion.ANY


def _road(channel: Channel) -> _Road:
    """Choose: COPY where the role may write to the log, else the append."""
    session_user, may_copy = channel.row(channel.statements.copy_rights)
    if not may_copy:
        return _AppendRoad(channel)
    context = current_context()
    origin = Origin(
        tenant_id=channel.config.tenant_id,
        actor=context.user_id or session_user,
        node_id=channel.config.node_id,
        correlation_id=context.correlation_id,
        causation_id=context.causation_id,
        meta=msgspec.json.encode(dict(context.meta)) if context.meta else None,
    )
    return _CopyRoad(channel, origin)


class _AppendRoad:
    """The append: its one value for all events has a bound, so they are encoded, and measured, as they are gathered."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def size(self, piece: Piece) -> int:
        """Encode and measure."""
        return piece.measure()

    def send(self, batch: Batch) -> tuple[int, int]:
        """Append."""
        positions = append_batch(self._channel, batch).positions
        return positions[0], positions[-1]


class _CopyRoad:
    """COPY: events are encoded while the server takes in those before them; their size is told by the batch before."""

    def __init__(self, channel: Channel, origin: Origin) -> None:
        self._channel = channel
        self._origin = origin
        self._event_bytes = _FIRST_GUESS_BYTES

    def size(self, piece: Piece) -> int:
        """Guess."""
        return self._event_bytes * len(piece.events)

    def send(self, batch: Batch) -> tuple[int, int]:
        """Reserve and copy."""
        channel = self._channel
        streams = batch.streams_json(with_status=True)
        reservation = Reservation(
            *channel.row(channel.statements.reserve, (channel.config.tenant_id, streams, batch.count, batch.is_new))
        )
        rows = CopyRows(batch, reservation, self._origin)
        columns = ", ".join(map(quote, rows.columns))
        statement = f"COPY {channel.names.object('events')} ({columns}) FROM STDIN (FORMAT BINARY)"
        with channel.explaining():
            if channel.connection.dialect.is_async:
                await_only(_copy_async(channel.driver, statement, rows))
            else:
                _copy(channel.driver, statement, rows)
        self._event_bytes = rows.size_bytes // batch.count
        first, positions = reservation.first_position, reservation.positions
        return first, first + batch.count - 1 if positions is None else positions[-1]


def _copy(driver: Any, statement: str, rows: CopyRows) -> None:
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        for chunk in rows:
            copy.write(chunk)


async def _copy_async(driver: Any, statement: str, rows: CopyRows) -> None:
    async with driver.cursor() as cursor, cursor.copy(statement) as copy:
        for chunk in rows:
            await copy.write(chunk)
