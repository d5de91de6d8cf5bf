"""Events of several streams on their way to the log together: what one append call or one COPY carries."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

import msgspec
from msgspec.structs import replace

from lithair_sqla.store.encoding import EncodedEvent
from lithair_sqla.types import ExpectedVersion, Kind, StreamId

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Batch"]


class _Stream(msgspec.Struct, omit_defaults=True):
    """A stream as the functions read it: name, key, count of events, expected version, status that they leave it in."""

    n: str
    k: str
    c: int
    e: int
    l: int | None = None  # noqa: E741 - the functions' own letters


class _Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """An event as ``append`` reads it."""

    s: int
    o: int
    k: str
    t: str
    v: int
    d: msgspec.Raw | None = None
    p: msgspec.Raw | None = None
    m: msgspec.Raw | None = None
    i: UUID | None = None


class Piece(NamedTuple):
    """Events of one stream that follow one another.

    Attributes:
        stream: its place in the batch, from 1.
        offset: events of the stream that stand before them in the batch.
        events: the events.
    """

    stream: int
    offset: int
    events: list[EncodedEvent]


class Batch:
    """Streams, each once, and their events in the caller's order.

    Attributes:
        streams: in the order they came.
        pieces: their events.
        count: how many events.
        size_bytes: bytes of the events' JSON.
    """

    __slots__ = ("_places", "count", "pieces", "size_bytes", "streams")

    def __init__(self) -> None:
        self.streams: list[_Stream] = []
        self.pieces: list[Piece] = []
        self.count = 0
        self.size_bytes = 0
        self._places: dict[StreamId, int] = {}

    def __contains__(self, stream: object) -> bool:
        return stream in self._places

    def takes(self, stream: StreamId, expected: int) -> bool:
        """Tell whether events of ``stream`` can join: it is new here, or where the events before them leave it."""
        place = self._places.get(stream)
        if place is None or expected < 0:
            return True
        found = self.streams[place - 1]
        return found.e >= 0 and expected == found.e + found.c

    def add(self, stream: StreamId, expected: int, events: list[EncodedEvent]) -> None:
        """Add events that ``takes`` has let in."""
        place = self._places.get(stream)
        if place is None:
            self.streams.append(_Stream(stream.name, stream.key, 0, expected))
            place = self._places[stream] = len(self.streams)
        found = self.streams[place - 1]
        self.pieces.append(Piece(place, found.c, events))
        found.c += len(events)
        self.count += len(events)
        for event in events:
            self.size_bytes += event.size_bytes
        for event in reversed(events):
            if event.kind is not Kind.NOTE:
                found.l = 1 if event.kind is Kind.DELETE else 0
                break

    @property
    def is_new(self) -> bool:
        """Whether every stream is expected to begin with this batch."""
        return all(stream.e == ExpectedVersion.NO_STREAM for stream in self.streams)

    @property
    def events(self) -> Iterator[EncodedEvent]:
        """The events, in the caller's order."""
        return (event for piece in self.pieces for event in piece.events)

    def share_meta(self, meta: bytes) -> None:
        """Give every event further facts, before its own; a key of both is the event's (``jsonb`` keeps the last)."""
        for piece in self.pieces:
            piece.events[:] = [replace(event, meta=_merged(meta, event.meta)) for event in piece.events]

    def streams_json(self, *, with_status: bool) -> str:
        """Write the streams; ``with_status`` for ``reserve``, which leaves the events to its caller."""
        found = self.streams if with_status else [_Stream(each.n, each.k, each.c, each.e) for each in self.streams]
        return msgspec.json.encode(found).decode()

    def events_json(self) -> str:
        """Write the events."""
        rows = [
            _Event(
                piece.stream,
                place,
                event.kind,
                event.type,
                event.schema_version,
                _raw(event.data),
                _raw(event.payload),
                _raw(event.meta),
                event.event_id,
            )
            for piece in self.pieces
            for place, event in enumerate(piece.events, piece.offset + 1)
        ]
        return msgspec.json.encode(rows).decode()


def _raw(text: bytes | None) -> msgspec.Raw | None:
    return None if text is None else msgspec.Raw(text)


def _merged(shared: bytes, own: bytes | None) -> bytes:
    return shared if own is None or own == b"{}" else shared[:-1] + b"," + own[1:]
