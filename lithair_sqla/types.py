"""The records that cross the library's borders: frozen, without behaviour beyond their own fields.

``Event`` carries everything an event is, under the field's words (position, version, type); the words of the seed's
``StoredEvent`` (``sequence_number``, ``event_data``, ``metadata`` …) are properties of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Any
from uuid import UUID

import msgspec

__all__ = [
    "AppendResult",
    "Conflict",
    "Event",
    "EventMetadata",
    "ExpectedVersion",
    "Kind",
    "NewEvent",
    "Snapshot",
    "StreamAppend",
    "StreamId",
    "StreamInfo",
    "StreamStatus",
]


class Kind(StrEnum):
    """What an event does to its row; the type's name says what it means, ``Kind`` says what replay does."""

    CREATE = "c"
    UPDATE = "u"
    DELETE = "d"
    BASELINE = "b"
    NOTE = "n"


class StreamStatus(IntEnum):
    """Whether a stream's row is there."""

    OPEN = 0
    DELETED = 1
    FORGOTTEN = 2


class ExpectedVersion(IntEnum):
    """What an append may expect of a stream beside an exact version (an ``int`` ≥ 1)."""

    NO_STREAM = 0
    EXISTS = -1
    ANY = -2


class StreamId(msgspec.Struct, frozen=True, order=True, gc=False):
    """Name of a stream: the events of one row of one table, or of one aggregate without a table.

    Attributes:
        name: the stream's name; for a class, the class's.
        key: the row's primary key in the database's text; several columns as a JSON array.
        tenant: 0 where there are no tenants.
    """

    name: str
    key: str
    tenant: int = 0

    def __str__(self) -> str:
        """Read as ``Product(42)``."""
        return f"{self.name}({self.key})"


class EventMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """The seed's metadata of an event: who, why, where."""

    user_id: str | None
    correlation_id: UUID | None
    causation_id: UUID | None
    node_id: int | None
    checksum: int | None


class Event(msgspec.Struct, frozen=True, gc=False):
    """One event as it stands in the log.

    Attributes:
        position: place in the whole store: unique, increasing, gaps allowed.
        stream: the stream it belongs to.
        version: place in its stream: 1, 2, 3 … without gaps.
        kind: what it does to the row.
        type: its name, ``ProductCreated`` or ``ProductSold``.
        data: the columns it sets (all of them for a create); empty for a delete or a note.
        payload: the arguments of a named event or of a note, else ``None``.
        recorded_at: when its position was drawn.
        transaction_id: first position of the transaction that wrote it.
        actor: ``context(user_id=…)``, else the database's ``session_user``.
        schema_version: shape that ``data`` was written in.
        event_id: the caller's, or one derived from the position.
        meta: further facts, such as the application's name.
    """

    position: int
    stream: StreamId
    version: int
    kind: Kind
    type: str
    data: Mapping[str, Any]
    payload: Mapping[str, Any] | None
    recorded_at: datetime
    transaction_id: int
    actor: str | None
    schema_version: int
    event_id: UUID
    correlation_id: UUID | None = None
    causation_id: UUID | None = None
    node_id: int | None = None
    checksum: int | None = None
    meta: Mapping[str, Any] | None = None

    @property
    def aggregate_id(self) -> str:
        """The stream's key."""
        return self.stream.key

    @property
    def stream_name(self) -> str:
        """The stream's name."""
        return self.stream.name

    @property
    def event_type(self) -> str:
        """The event's type."""
        return self.type

    @property
    def event_version(self) -> int:
        """The shape its data was written in."""
        return self.schema_version

    @property
    def sequence_number(self) -> int:
        """The version in its stream."""
        return self.version

    @property
    def event_data(self) -> Mapping[str, Any]:
        """The columns it sets."""
        return self.data

    @property
    def created_at(self) -> datetime:
        """When it was recorded."""
        return self.recorded_at

    @property
    def metadata(self) -> EventMetadata:
        """Who, why and where, as the seed groups them."""
        return EventMetadata(
            user_id=self.actor,
            correlation_id=self.correlation_id,
            causation_id=self.causation_id,
            node_id=self.node_id,
            checksum=self.checksum,
        )


class NewEvent(msgspec.Struct, frozen=True, gc=False):
    """An event to append to a stream that has no table.

    Attributes:
        type: its name, 1 to 200 characters.
        data: JSON object that replay merges into the stream's state.
        payload: JSON object beside it, which replay leaves alone.
        kind: ``UPDATE`` merges, ``DELETE`` ends, ``NOTE`` changes nothing.
        schema_version: shape of ``data``, 1 to 32,767.
        event_id: a UUID of the caller's; ``None`` derives one from the position.
        meta: JSON object of further facts.
    """

    type: str
    data: Mapping[str, Any] = msgspec.field(default_factory=dict)
    payload: Mapping[str, Any] | None = None
    kind: Kind = Kind.UPDATE
    schema_version: int = 1
    event_id: UUID | None = None
    meta: Mapping[str, Any] | None = None


class StreamAppend(msgspec.Struct, frozen=True, gc=False):
    """Events for one stream, with the version the caller expects it to be at."""

    stream: StreamId
    events: tuple[NewEvent, ...] | list[NewEvent]
    expected: int | ExpectedVersion = ExpectedVersion.ANY


class Conflict(msgspec.Struct, frozen=True):
    """A stream that is not where the writer expected it: versions before the append."""

    stream: StreamId
    expected: int
    actual: int

    def __str__(self) -> str:
        """Read as ``Product(42): expected version 3, is at 5``."""
        wanted = {0: "no stream", -1: "an existing stream"}.get(self.expected, f"version {self.expected}")
        found = "does not exist" if self.actual == 0 else f"is at version {self.actual}"
        return f"{self.stream}: expected {wanted}, {found}"


class AppendResult(msgspec.Struct, frozen=True):
    """Where the events of an append came to stand, in the caller's order.

    Attributes:
        positions: one an event.
        versions: one an event.
        duplicate: the idempotency key had been used: these are the first use's, and nothing was written.
    """

    positions: tuple[int, ...]
    versions: tuple[int, ...]
    duplicate: bool = False


class StreamInfo(msgspec.Struct, frozen=True):
    """A stream as the store knows it."""

    stream: StreamId
    version: int
    status: StreamStatus
    first_position: int
    snapshot_version: int | None


class Snapshot(msgspec.Struct, frozen=True):
    """Folded state of a stream at a version."""

    stream: StreamId
    version: int
    position: int
    state: Mapping[str, Any]
    schema_version: int
    fingerprint: str | None
    created_at: datetime
    size_bytes: int
