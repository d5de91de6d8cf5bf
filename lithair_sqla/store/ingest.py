"""Bulk ingest: streams and positions reserved by one call a batch, events by binary COPY, in the caller's transaction.

A role that may not write to the log itself (only its owner, or a role made for ingest, may) sends the same batches
through the append: slower by half, and with the same outcome.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from sqlalchemy.util import await_only

from lithair_sqla.context import current_context
from lithair_sqla.errors import OptionError, StoreError
from lithair_sqla.schema.names import quote
from lithair_sqla.store.append import append_batch
from lithair_sqla.store.batch import Batch
from lithair_sqla.store.copy_rows import CopyRows, Origin, Reservation
from lithair_sqla.store.encoding import check_expected, encode_events, stream_of
from lithair_sqla.types import ExpectedVersion, StreamAppend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from lithair_sqla.store.encoding import EncodedEvent
    from lithair_sqla.store.execution import Channel
    from lithair_sqla.types import StreamId

__all__ = ["BATCH_SIZE", "IngestSummary", "append_many"]

BATCH_SIZE: Final = 10_000
"""Events that travel together."""

_MAX_BATCH_BYTES: Final = 32 * 1024 * 1024


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
        OptionError: a wrong batch size, or an idempotency key in the context.
        StoreError: the connection is in AUTOCOMMIT.
        InvalidEventError: an event or stream cannot be stored.
        ConcurrencyError: streams that are not where the caller expected them.
    """
    if type(batch_size) is not int or batch_size < 1:
        raise OptionError(f"batch_size must be a whole number from 1, not {batch_size!r}")
    if current_context().idempotency_key is not None:
        raise OptionError("append_many takes no idempotency key: leave it out of the context, or use append_streams")
    if channel.driver.autocommit:
        raise StoreError("append_many needs a transaction, and this connection is in AUTOCOMMIT")
    send = _sender(channel)
    written, batches = 0, 0
    first: int | None = None
    last: int | None = None
    with channel.connection.begin_nested():
        for batch in _batches(appends, channel.config.tenant_id, batch_size):
            low, last = send(batch)
            first = low if first is None else first
            written += batch.count
            batches += 1
            if progress is not None:
                progress(written)
    return IngestSummary(written, batches, first, last)


def _batches(appends: Iterable[StreamAppend], tenant: int, batch_size: int) -> Iterator[Batch]:
    """Gather events; a batch also ends where a stream comes again and only the database can check what is expected."""
    batch = Batch()
    for stream, expected, events in _encoded(appends, tenant, batch_size):
        if batch.count and (
            batch.count + len(events) > batch_size
            or batch.size_bytes > _MAX_BATCH_BYTES
            or not batch.takes(stream, expected)
        ):
            yield batch
            batch = Batch()
        batch.add(stream, expected, events)
    if batch.count:
        yield batch


def _encoded(
    appends: Iterable[StreamAppend], tenant: int, batch_size: int
) -> Iterator[tuple[StreamId, int, list[EncodedEvent]]]:
    """Encode; events of one stream that are more than a batch go in pieces, the stream's lock holding them together."""
    for append in appends:
        stream = stream_of(append.stream, tenant=tenant)
        expected = check_expected(append.expected, stream)
        events = append.events
        if len(events) <= batch_size:
            yield stream, expected, encode_events(stream, events)
            continue
        for start in range(0, len(events), batch_size):
            yield stream, expected, encode_events(stream, events[start : start + batch_size], first_index=start)
            expected = ExpectedVersion.ANY


def _sender(channel: Channel) -> Callable[[Batch], tuple[int, int]]:
    """Choose the road: COPY where the role may write to the log, else the append."""
    session_user, may_copy = channel.row(channel.statements.copy_rights)
    if not may_copy:
        return lambda batch: _append(channel, batch)
    context = current_context()
    origin = Origin(
        channel.config.tenant_id,
        context.user_id or session_user,
        channel.config.node_id,
        context.correlation_id,
        context.causation_id,
    )
    meta = msgspec.json.encode(dict(context.meta)) if context.meta else None
    return lambda batch: _copy(channel, batch, origin, meta)


def _append(channel: Channel, batch: Batch) -> tuple[int, int]:
    positions = append_batch(channel, batch).positions
    return positions[0], positions[-1]


def _copy(channel: Channel, batch: Batch, origin: Origin, meta: bytes | None) -> tuple[int, int]:
    if meta is not None:
        batch.share_meta(meta)
    parameters = (channel.config.tenant_id, batch.streams_json(with_status=True), batch.count, batch.is_new)
    reservation = Reservation(*channel.row(channel.statements.reserve, parameters))
    rows = CopyRows(batch, reservation, origin)
    columns = ", ".join(map(quote, rows.columns))
    statement = f"COPY {channel.names.object('events')} ({columns}) FROM STDIN (FORMAT BINARY)"
    driver: Any = channel.driver
    with channel.explaining():
        if channel.connection.dialect.is_async:
            await_only(_copy_async(driver, statement, rows))
        else:
            with driver.cursor() as cursor, cursor.copy(statement) as copy:
                for chunk in rows:
                    copy.write(chunk)
    first = reservation.first_position
    return first, first + batch.count - 1 if reservation.positions is None else reservation.positions[-1]


async def _copy_async(driver: Any, statement: str, rows: CopyRows) -> None:
    async with driver.cursor() as cursor, cursor.copy(statement) as copy:
        for chunk in rows:
            await copy.write(chunk)
