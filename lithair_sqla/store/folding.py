"""A stream's state: events folded in version order, from the newest usable snapshot on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from lithair_sqla.errors import InvalidEventError, OptionError
from lithair_sqla.store.payload import UnfitError, decoder, encode_object
from lithair_sqla.store.rows import EventRows, snapshot_of
from lithair_sqla.types import Event, Kind, Snapshot, StreamId

if TYPE_CHECKING:
    from lithair_sqla.store.execution import Channel

__all__ = ["Fold", "StreamState", "fold", "load", "newest_snapshot", "save_snapshot"]

State = dict[str, Any]
Fold = Callable[[State, Event], State]
"""Applies one event to a state: may change the state it is given, and returns the new one."""

_LAST = 2**63 - 1
_MAX_SCHEMA_VERSION = 32_767


class StreamState(NamedTuple):
    """What a stream's events come to.

    Attributes:
        state: the folded object; ``None`` where there is no stream, or it has ended.
        version: of the last event folded; 0 where there is no stream. What the next append expects.
    """

    state: State | None
    version: int


def merge(state: State, event: Event) -> State:
    """Apply an event as replay does: ``data`` merged into the state, a whole row in its place, notes left aside."""
    if event.kind in {Kind.CREATE, Kind.BASELINE}:
        return dict(event.data)
    if event.kind is Kind.UPDATE:
        state.update(event.data)
    return state


def fold(events: Iterable[Event], state: Mapping[str, Any] | None = None, *, apply: Fold = merge) -> State | None:
    """Fold events of one stream, in the order of their versions.

    Args:
        events: oldest first.
        state: what came of the events before them; ``None`` where there were none, or the stream had ended.
        apply: how one event changes the state; without it ``data`` is merged. It sees every event but a delete, which
            ends the stream; an event after that starts from an empty state.

    Returns:
        The state; ``None`` where nothing but notes was folded, or the stream has ended.
    """
    alive = state is not None
    current: State = dict(state or {})
    for event in events:
        if event.kind is Kind.DELETE:
            current, alive = {}, False
            continue
        current = apply(current, event)
        alive = alive or event.kind is not Kind.NOTE
    return current if alive else None


def newest_snapshot(
    channel: Channel, stream: StreamId, *, fingerprint: str | None, exact_numbers: bool
) -> Snapshot | None:
    """Read the newest snapshot of a stream that can be used."""
    row = channel.row(channel.statements.snapshot, (stream.tenant, stream.name, stream.key, fingerprint, fingerprint))
    return None if row is None else snapshot_of(stream, row, exact_numbers=exact_numbers)


def load(
    channel: Channel, stream: StreamId, *, apply: Fold, fingerprint: str | None, exact_numbers: bool
) -> StreamState:
    """Fold a stream from its newest usable snapshot on, in one statement where nothing came after it, else in two."""
    start = channel.row(channel.statements.start, (fingerprint, fingerprint, stream.tenant, stream.name, stream.key))
    if start is None:
        return StreamState(None, 0)
    number, version, _, low, snapshot_version, snapshot_position, text, *_rest = start
    state: State | None = None
    first = 1
    if text is not None:
        state = decoder(exact=exact_numbers)(text)
        first, low = snapshot_version + 1, snapshot_position
        if version == snapshot_version:
            return StreamState(state, version)
    rows = channel.execute(channel.statements.forwards, (number, low, first, _LAST, None))
    events = EventRows(channel.names, exact_numbers=exact_numbers).of_stream(stream, rows)
    return StreamState(fold(events, state, apply=apply), events[-1].version if events else version)


def save_snapshot(
    channel: Channel,
    stream: StreamId,
    version: int,
    state: Mapping[str, Any],
    *,
    schema_version: int,
    fingerprint: str | None,
    keep: int | None,
) -> int:
    """Keep a state that the caller folded; returns the position of the version's event."""
    if type(version) is not int or version < 1:
        raise OptionError(f"version must be a whole number from 1, not {version!r}")
    if type(schema_version) is not int or not 0 < schema_version <= _MAX_SCHEMA_VERSION:
        raise OptionError(f"schema_version must be 1 to {_MAX_SCHEMA_VERSION:,}, not {schema_version!r}")
    kept = channel.config.max_snapshots_per_aggregate if keep is None else keep
    if type(kept) is not int or kept < 1:
        raise OptionError(f"keep must be a whole number from 1, not {keep!r}")
    try:
        text = encode_object(state).decode()
    except UnfitError as error:
        raise InvalidEventError(f"a snapshot of {stream} at version {version} cannot be stored: {error}") from error
    position: int = channel.execute(
        channel.statements.save_snapshot,
        (stream.tenant, stream.name, stream.key, version, text, schema_version, fingerprint, kept),
    ).scalar_one()
    return position
