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

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lithair_sqla.store.batch import Batch

__all__ = ["CopyRows", "Origin", "Reservation"]

_POSTGRES_EPOCH: Final = 946_684_800_000_000
"""2000-01-01 in microseconds of the Unix epoch: where a binary ``timestamptz`` counts from."""

_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER: Final = struct.pack(">h", -1)
_NULL: Final = struct.pack(">i", -1)
_CHUNK_PARTS: Final = 2_000
"""Some hundred rows are sent at a time: the server takes them in while the next are packed."""

_FIXED: Final = ("position", "stream_id", "version", "kind", "schema_version", "type")
_OPTIONAL: Final = {name: attrgetter(name) for name in ("data", "payload", "meta", "event_id")}
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


class CopyRows:
    """The rows of one batch.

    Attributes:
        columns: those of the log that the rows have, in their order.
    """

    def __init__(self, batch: Batch, reservation: Reservation, origin: Origin) -> None:
        self._optional = [
            (name, get) for name, get in _OPTIONAL.items() if any(get(event) is not None for event in batch.events)
        ]
        shared = {
            "transaction_id": struct.pack(">iq", 8, reservation.transaction_id),
            "recorded_at": struct.pack(">iq", 8, reservation.recorded_at - _POSTGRES_EPOCH),
            "tenant_id": struct.pack(">ii", 4, origin.tenant_id),
            "actor": _field(origin.actor.encode()),
            "node_id": None if origin.node_id is None else struct.pack(">ii", 4, origin.node_id),
            "correlation_id": _uuid(origin.correlation_id),
            "causation_id": _uuid(origin.causation_id),
        }
        names = [name for name, _ in self._optional]
        self.columns = [*_FIXED, *names, *(name for name, field in shared.items() if field is not None)]
        self._batch = batch
        self._reservation = reservation
        self._tail = b"".join(field for field in shared.values() if field is not None)

    def __iter__(self) -> Iterator[bytes]:
        """Pack them, some hundred at a time."""
        ids, bases, position, _, positions, _ = self._reservation
        count, tail, optional = len(self.columns), self._tail, [get for _, get in self._optional]
        gapless = positions is None
        numbers = iter(positions or ())
        parts: list[bytes] = [_HEADER]
        for place, offset, events in self._batch.pieces:
            stream, version = ids[place - 1], bases[place - 1] + offset
            for event in events:
                version += 1
                if not gapless:
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
                yield b"".join(parts)
                parts.clear()
        parts.append(_TRAILER)
        yield b"".join(parts)


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
