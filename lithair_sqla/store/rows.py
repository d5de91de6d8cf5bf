"""Rows of the log as ``Event`` records."""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from lithair_sqla.store.payload import decoder
from lithair_sqla.types import Event, Kind, Snapshot, StreamId, StreamInfo, StreamStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lithair_sqla.schema.names import Names

__all__ = ["EventRows", "snapshot_of", "stream_info"]

_KINDS: Final = {kind.value: kind for kind in Kind}


class EventRows:
    """Makes events of one store's rows.

    Args:
        names: the store, whose number is part of the identities that it derives.
        exact_numbers: give numbers with a fraction as ``Decimal``.
    """

    __slots__ = ("_decode", "_namespace", "_tenant")

    def __init__(self, names: Names, *, exact_numbers: bool) -> None:
        self._decode = decoder(exact=exact_numbers)
        self._namespace = int(f"6c69746861698{names.namespace & 0xFFF:03x}8000000000000000", 16)
        self._tenant = names.config.tenant_id

    def of_stream(self, stream: StreamId, rows: Iterable[Sequence[Any]]) -> list[Event]:
        """Make events of rows that all belong to one stream."""
        return self._events(repeat(stream), rows)

    def of_all(self, rows: Sequence[Sequence[Any]]) -> list[Event]:
        """Make events of rows that end with their stream's name and key."""
        streams: dict[tuple[str, str], StreamId] = {}
        for *_, name, key in rows:
            if (name, key) not in streams:
                streams[name, key] = StreamId(name, key, self._tenant)
        return self._events([streams[row[-2], row[-1]] for row in rows], rows)

    def _events(self, streams: Iterable[StreamId], rows: Iterable[Sequence[Any]]) -> list[Event]:
        decode, namespace = self._decode, self._namespace
        return [
            Event(
                position,
                stream,
                version,
                _KINDS[kind],
                type_,
                {} if data is None else decode(data),
                None if payload is None else decode(payload),
                recorded_at,
                transaction_id,
                actor,
                schema_version,
                # As the database's function event_id() makes it.
                UUID(int=namespace | position) if event_id is None else event_id,
                correlation_id,
                causation_id,
                node_id,
                checksum,
                None if meta is None else decode(meta),
            )
            for stream, (
                position,
                version,
                kind,
                type_,
                data,
                payload,
                recorded_at,
                transaction_id,
                actor,
                schema_version,
                event_id,
                correlation_id,
                causation_id,
                node_id,
                checksum,
                meta,
                *_,
            ) in zip(streams, rows, strict=False)
        ]


def stream_info(tenant: int, name: str, row: Sequence[Any]) -> StreamInfo:
    """Make the record of one stream."""
    key, version, status, first_position, snapshot_version = row
    return StreamInfo(StreamId(name, key, tenant), version, StreamStatus(status), first_position, snapshot_version)


def snapshot_of(stream: StreamId, row: Sequence[Any], *, exact_numbers: bool) -> Snapshot:
    """Make the record of one snapshot."""
    version, position, state, schema_version, fingerprint, created_at, size_bytes = row
    return Snapshot(
        stream=stream,
        version=version,
        position=position,
        state=decoder(exact=exact_numbers)(state),
        schema_version=schema_version,
        fingerprint=fingerprint,
        created_at=created_at,
        size_bytes=size_bytes,
    )
