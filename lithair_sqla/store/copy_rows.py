"""Events as PostgreSQL's binary COPY takes them, packed by hand.

What all rows of a batch share stands ready packed, and columns that none of them uses are left out of the COPY, which
spares the server a field a row.

Source: https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format".
"""

from __future__ import annotations

import struct
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID

from msgspec.structs import replace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lithair_sqla.store.batch import Batch
    from lithair_sqla.store.encoding import EncodedEvent
    from lithair_sqla.types import NewEvent

__all__ = ["CopyRows", "Origin", "Reservation"]

_POSTGRES_EPOCH: Final = 946_684_800_000_000
"""2000-01-01 in microseconds of the Unix epoch: where a binary ``timestamptz`` counts from."""

_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER: Final = struct.pack(">h", -1)
_NULL: Final = struct.pack(">i", -1)
_CHUNK_PARTS: Final = 2_000
"""Some hundred rows are sent at a time: the server takes them in while the next are packed."""

_FIXED: Final = ("position", "stream_id", "version", "kind", "schema_version", "type")
_OPTIONAL: Final = ("payload", "event_id", "meta")
_pack_fixed = struct.Struct(">hiqiqiqicih").pack
_pack_length = struct.Struct(">i").pack


class Reservation(NamedTuple):
    """What ``reserve`` answers: where the events of a batch will stand.

    Attributes:
        ids: of the streams, in the batch's order.
        bases: version of each before the batch.
        first_position: of the first event.
        transaction_id: of every event.
        positions: one an event; ``None`` when they follow the first without a gap.
        recorded_at: of every event, in microseconds of the Unix epoch.
    """

    ids: list[int]
    bases: list[int]
    first_position: int
    transaction_id: int
    positions: list[int] | None
    recorded_at: int


class Origin(NamedTuple):
    """What the writer says of itself, the same for every event."""

    tenant_id: int
    actor: str
    node_id: int | None
    correlation_id: UUID | None
    causation_id: UUID | None
    meta: bytes | None


class CopyRows:
    """The rows of one batch.

    Attributes:
        columns: those of the log that the rows have, in their order.
        size_bytes: how many were packed so far.
    """

    def __init__(self, batch: Batch, reservation: Reservation, origin: Origin) -> None:
        given = [event for piece in batch.pieces for event in piece.events]
        names = ["data", *(name for name in _OPTIONAL if _is_used(name, given))]
        if origin.meta is not None and "meta" not in names:
            names.append("meta")
        shared = {
            "transaction_id": struct.pack(">iq", 8, reservation.transaction_id),
            "recorded_at": struct.pack(">iq", 8, reservation.recorded_at - _POSTGRES_EPOCH),
            "tenant_id": struct.pack(">ii", 4, origin.tenant_id),
            "actor": _field(origin.actor.encode()),
            "node_id": None if origin.node_id is None else struct.pack(">ii", 4, origin.node_id),
            "correlation_id": _uuid(origin.correlation_id),
            "causation_id": _uuid(origin.causation_id),
        }
        self.columns = [*_FIXED, *names, *(name for name, field in shared.items() if field is not None)]
        self.size_bytes = 0
        self._batch = batch
        self._reservation = reservation
        self._meta = origin.meta
        self._optional = [attrgetter(name) for name in names]
        self._tail = b"".join(field for field in shared.values() if field is not None)

    def __iter__(self) -> Iterator[bytes]:
        """Check and pack them, some hundred at a time.

        Raises:
            InvalidEventError: an event cannot be stored.
        """
        ids, bases, position, _, positions, _ = self._reservation
        count, tail, optional = len(self.columns), self._tail, self._optional
        numbers = None if positions is None else iter(positions)
        parts: list[bytes] = [_HEADER]
        for piece in self._batch.pieces:
            stream, version = ids[piece.place - 1], bases[piece.place - 1] + piece.offset
            for event in self._with_meta(piece.encode()):
                version += 1
                if numbers is not None:
                    position = next(numbers)
                kind = event.kind.encode()
                parts += (
                    _pack_fixed(count, 8, position, 8, stream, 8, version, 1, kind, 2, event.schema_version),
                    _text(event.type),
                    *[_optional_field(get(event)) for get in optional],
                    tail,
                )
                position += 1
            if len(parts) > _CHUNK_PARTS:
                yield self._chunk(parts)
                parts = []
        parts.append(_TRAILER)
        yield self._chunk(parts)

    def _chunk(self, parts: list[bytes]) -> bytes:
        chunk = b"".join(parts)
        self.size_bytes += len(chunk)
        return chunk

    def _with_meta(self, events: list[EncodedEvent]) -> list[EncodedEvent]:
        """Give events the facts that all share, before their own: of a key that is there twice, the last one stays."""
        shared = self._meta
        if shared is None:
            return events
        return [replace(event, meta=_merged(shared, event.meta)) for event in events]


def _is_used(field: str, events: list[NewEvent]) -> bool:
    try:
        return list(map(attrgetter(field), events)).count(None) < len(events)
    except AttributeError:  # something that is no NewEvent: encoding it will say so
        return True


def _merged(shared: bytes, own: bytes | None) -> bytes:
    return shared if own is None or own == b"{}" else shared[:-1] + b"," + own[1:]


def _optional_field(value: bytes | UUID | None) -> bytes:
    if value is None:
        return _NULL
    if isinstance(value, UUID):
        return _field(value.bytes)
    return _pack_length(len(value) + 1) + b"\x01" + value  # jsonb: a version number, then the text


def _field(value: bytes) -> bytes:
    return _pack_length(len(value)) + value


def _uuid(value: UUID | None) -> bytes | None:
    return None if value is None else _field(value.bytes)


@lru_cache(maxsize=1024)
def _text(value: str) -> bytes:
    return _field(value.encode())
