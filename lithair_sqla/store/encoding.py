"""An event on its way to the database: checked and written as JSON once, for the append's call and for COPY alike."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec

from lithair_sqla.errors import InvalidEventError, OptionError
from lithair_sqla.store.payload import UnfitError, encode_object
from lithair_sqla.types import ExpectedVersion, Kind, NewEvent, StreamId

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "MAX_EVENT_BYTES",
    "EncodedEvent",
    "StreamLike",
    "check_expected",
    "encode_event",
    "encode_events",
    "stream_of",
]

MAX_EVENT_BYTES: Final = 16 * 1024 * 1024
"""Bytes that an event's JSON (data, payload and meta together) may have. In ``jsonb`` it can grow sixfold, and
PostgreSQL keeps no value of 256 MB: this bound is reached before that one, with a better message."""

StreamLike = StreamId | tuple[str, str]
"""A stream, as a ``StreamId`` or as (name, key)."""

_MAX_TYPE: Final = 200
_MAX_NAME_BYTES: Final = 250
_MAX_KEY_BYTES: Final = 2_300
"""Name and key stand in one index entry, which PostgreSQL limits to 2,704 bytes."""
_MAX_SCHEMA_VERSION: Final = 32_767
_MAX_VERSION: Final = 2**63 - 1


class EncodedEvent(msgspec.Struct, frozen=True, gc=False):
    """One event, ready to be sent; JSON as bytes, ``None`` for what it does not have."""

    kind: Kind
    type: str
    schema_version: int
    data: bytes | None
    payload: bytes | None
    meta: bytes | None
    event_id: UUID | None
    size_bytes: int


def stream_of(stream: StreamLike, *, tenant: int) -> StreamId:
    """Return the stream that is meant, as one of this store's tenant.

    Raises:
        InvalidEventError: no stream can be called so, or it is another tenant's.
    """
    match stream:
        case StreamId():
            found = stream
        case (name, key):
            found = StreamId(name, key, tenant)
        case _:
            raise InvalidEventError(f"a stream is a StreamId or (name, key), not {stream!r}")
    if found.tenant != tenant:
        raise InvalidEventError(
            f"stream {found} belongs to tenant {found.tenant}, and this store is tenant {tenant}'s: write (name, key), "
            f"or make the store with StorageConfig(tenant_id={found.tenant})"
        )
    _check_text(found.name, "name", most_bytes=_MAX_NAME_BYTES)
    _check_text(found.key, "key", most_bytes=_MAX_KEY_BYTES)
    if not found.name:
        raise InvalidEventError("a stream's name must not be empty")
    return found


def _check_text(text: Any, what: str, *, most_bytes: int) -> None:
    if type(text) is str and len(text) <= most_bytes and text.isascii() and "\0" not in text:
        return
    if not isinstance(text, str):
        raise InvalidEventError(f"a stream's {what} must be a string, not {text!r}")
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidEventError(f"a stream's {what} holds half of a surrogate pair: {text!r}") from error
    if size > most_bytes or "\0" in text:
        raise InvalidEventError(
            f"a stream's {what} may have {most_bytes:,} bytes and no NUL character; {text[:40]!r} has {size:,}"
        )


def check_expected(expected: int, stream: StreamId) -> int:
    """Return the version that an append expects, as the database takes it.

    Raises:
        OptionError: it is neither an ``ExpectedVersion`` nor a version.
    """
    given: object = expected
    if isinstance(given, bool) or not isinstance(given, int) or not ExpectedVersion.ANY <= given <= _MAX_VERSION:
        raise OptionError(
            f"expected={expected!r} for {stream}: give ExpectedVersion.ANY, EXISTS, NO_STREAM, or a version from 1"
        )
    return int(given)


def encode_events(stream: StreamId, events: Sequence[NewEvent], *, first_index: int = 0) -> list[EncodedEvent]:
    """Check and encode the events of one stream.

    Args:
        stream: whose they are.
        events: as the caller gave them.
        first_index: of the first one among those that the caller gave.

    Raises:
        InvalidEventError: one cannot be stored; names stream and index.
    """
    encoded: list[EncodedEvent] = []
    try:
        encoded.extend(map(encode_event, events))
    except UnfitError as error:
        index = len(encoded)
        name = getattr(events[index], "type", None)
        kind = f" ({name})" if isinstance(name, str) and 0 < len(name) <= _MAX_TYPE else ""
        raise InvalidEventError(f"event {first_index + index}{kind} for {stream} cannot be stored: {error}") from error
    return encoded


def encode_event(event: NewEvent) -> EncodedEvent:
    """Check and encode one event.

    Raises:
        UnfitError: it cannot be stored; whoever knows its stream says so.
    """
    if not isinstance(event, NewEvent):
        raise UnfitError(f"a NewEvent is needed, not {type(event).__name__}")
    _check_head(event)
    place = "data"
    try:
        data = encode_object(event.data) if event.data or type(event.data) is not dict else None
        place = "payload"
        payload = None if event.payload is None else encode_object(event.payload)
        place = "meta"
        meta = None if event.meta is None else encode_object(event.meta)
    except UnfitError as error:
        error.path.insert(0, place)
        raise
    if data is not None and event.kind in _WITHOUT_DATA:
        raise UnfitError(f"a {event.kind.name.lower()} changes no columns: put what it says into payload, not data")
    size = len(data or b"") + len(payload or b"") + len(meta or b"")
    if size > MAX_EVENT_BYTES:
        raise UnfitError(
            f"its JSON has {size:,} bytes, more than MAX_EVENT_BYTES ({MAX_EVENT_BYTES:,}): keep large content "
            "elsewhere and store its address"
        )
    return EncodedEvent(event.kind, event.type, event.schema_version, data, payload, meta, event.event_id, size)


_WITHOUT_DATA: Final = frozenset({Kind.DELETE, Kind.NOTE})


def _check_head(event: NewEvent) -> None:
    type_: object = event.type  # nobody has checked it: a Struct takes what it is given
    if not isinstance(type_, str) or not _is_type(type_):
        raise UnfitError(f"type must be 1 to {_MAX_TYPE} characters without NUL, not {type_!r:.60}")
    if not isinstance(event.kind, Kind):
        raise UnfitError(f"kind must be a Kind, not {event.kind!r}")
    version = event.schema_version
    if type(version) is not int or not 0 < version <= _MAX_SCHEMA_VERSION:
        raise UnfitError(f"schema_version must be 1 to {_MAX_SCHEMA_VERSION:,}, not {version!r}")
    if event.event_id is not None and not isinstance(event.event_id, UUID):
        raise UnfitError(f"event_id must be a UUID, not {event.event_id!r}")


@lru_cache(maxsize=1024)
def _is_type(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return 0 < len(text) <= _MAX_TYPE and "\0" not in text
