"""Events of several streams on their way to the log together: what one append call or one COPY carries."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import msgspec

from lithair_sqla.errors import InvalidEventError
from lithair_sqla.store.encoding import EncodedEvent, encode_events
from lithair_sqla.types import ExpectedVersion, Kind, NewEvent, StreamId

__all__ = ["Batch", "Piece"]


class _Stream(msgspec.Struct, omit_defaults=True, gc=False):
    """A stream as the functions read it: name, key, count of events, expected version, status that they leave it in."""

    n: str
    k: str
    c: int
    e: int
    l: int | None = None  # noqa: E741 - the functions' own letters


class _Event(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
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


class Piece(msgspec.Struct, gc=False):
    """Events of one stream that follow one another.

    Attributes:
        stream: whose they are.
        place: the stream's in the batch, from 1.
        offset: events of the stream that stand before them in the batch.
        events: as the caller gave them.
        first_index: of the first one among those the caller gave for this stream.
        encoded: what ``measure`` made of them.
    """

    stream: StreamId
    place: int
    offset: int
    events: Sequence[NewEvent]
    first_index: int
    encoded: list[EncodedEvent] | None = None

    def encode(self) -> list[EncodedEvent]:
        """Check the events and write their JSON.

        Raises:
            InvalidEventError: one cannot be stored; names the stream and the event's index.
        """
        if self.encoded is not None:
            return self.encoded
        return encode_events(self.stream, self.events, first_index=self.first_index)

    def measure(self) -> int:
        """Encode now, keep the result, and return the bytes of its JSON."""
        self.encoded = self.encode()
        return sum(event.size_bytes for event in self.encoded)


class Batch:
    """Streams, each once, and their events in the caller's order.

    Attributes:
        streams: in the order they came.
        pieces: their events.
        count: how many events.
    """

    __slots__ = ("_places", "count", "pieces", "streams")

    def __init__(self) -> None:
        self.streams: list[_Stream] = []
        self.pieces: list[Piece] = []
        self.count = 0
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

    def add(self, stream: StreamId, expected: int, events: Sequence[NewEvent], *, first_index: int = 0) -> Piece:
        """Add events that ``takes`` has let in.

        Args:
            stream: whose they are.
            expected: where the stream must be before them.
            events: as the caller gave them; they are checked when they are encoded.
            first_index: of the first one among those the caller gave for this stream.

        Raises:
            InvalidEventError: there are none.
        """
        if not events:
            raise InvalidEventError(f"there are no events to append to {stream}")
        place = self._places.get(stream)
        if place is None:
            self.streams.append(_Stream(stream.name, stream.key, 0, expected))
            place = self._places[stream] = len(self.streams)
        found = self.streams[place - 1]
        piece = Piece(stream, place, found.c, events, first_index)
        self.pieces.append(piece)
        found.c += len(events)
        self.count += len(events)
        for event in reversed(events):
            kind = getattr(event, "kind", None)
            if kind is not Kind.NOTE:
                found.l = 1 if kind is Kind.DELETE else 0
                break
        return piece

    @property
    def is_new(self) -> bool:
        """Whether every stream is expected to begin with this batch."""
        return all(stream.e == ExpectedVersion.NO_STREAM for stream in self.streams)

    def streams_json(self, *, with_status: bool) -> str:
        """Write the streams; ``with_status`` for ``reserve``, which leaves the events to its caller."""
        found = self.streams if with_status else [_Stream(each.n, each.k, each.c, each.e) for each in self.streams]
        return msgspec.json.encode(found).decode()

    def events_json(self) -> str:
        """Write the events.

        Raises:
            InvalidEventError: one cannot be stored.
        """
        rows = [
            _Event(
                piece.place,
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
            for place, event in enumerate(piece.encode(), piece.offset + 1)
        ]
        return msgspec.json.encode(rows).decode()


def _raw(text: bytes | None) -> msgspec.Raw | None:
    return None if text is None else msgspec.Raw(text)
