"""The events of an object, oldest first: what happened to it, when, by whom and why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, inspect
from sqlalchemy.orm import Mapper, Session

from lithair_sqla.errors import MappingError, StreamNotFoundError
from lithair_sqla.model.declarative import model_options, tables_of
from lithair_sqla.model.fold import folding
from lithair_sqla.model.replay import identity_of, stream_id
from lithair_sqla.schema.guards import guard_of
from lithair_sqla.store import EventStore
from lithair_sqla.types import Event, StreamId

if TYPE_CHECKING:
    from sqlalchemy.orm import InstanceState

__all__ = ["History", "history"]


class History:
    """The events of one object, read lazily and in pages; iterating again reads again."""

    def __init__(self, connection: Connection, name: str, streams: list[StreamId], store: EventStore) -> None:
        self._connection = connection
        self._name = name
        self._store = store
        self.streams = tuple(streams)

    def __iter__(self) -> Iterator[Event]:
        """Yield events oldest first; those of a joined-inheritance object's several streams as one."""
        if len(self.streams) == 1:
            yield from self._store.iter_stream(self.streams[0])
            return
        found = [event for stream in self.streams for event in self._store.iter_stream(stream)]
        yield from sorted(found, key=lambda event: event.position)

    def __reversed__(self) -> Iterator[Event]:
        """Yield events newest first."""
        if len(self.streams) == 1:
            yield from self._store.iter_stream(self.streams[0], backwards=True)
            return
        yield from reversed(list(self))

    def __len__(self) -> int:
        """Count the events, by the streams' versions."""
        found = (self._store.stream(stream) for stream in self.streams)
        return sum(info.version for info in found if info is not None)

    def __repr__(self) -> str:
        """Show what it is the history of."""
        return f"<History of {self._name}: {', '.join(map(str, self.streams))}>"


def history(session: Session, target: Any, key: Any = None) -> History:
    """Return the history of an object.

    Args:
        session: on the database that holds the log; nothing is flushed.
        target: an object of an event-sourced class, or the class.
        key: with a class, the primary key; a tuple where it has several columns.

    Raises:
        MappingError: the class is not event-sourced, or a class came without a key.
        StreamNotFoundError: the object has no key yet.
    """
    mapper, values = _target(target, key)
    connection = session.connection(bind_arguments={"mapper": mapper})
    streams = []
    for table in tables_of(mapper):
        guard = guard_of(table)
        if guard is not None:
            streams.append(stream_id(connection, folding(connection, table), values))
    shown = values[0] if len(values) == 1 else values
    store = EventStore(connection, config=folding(connection, tables_of(mapper)[0]).names.config)
    return History(connection, f"{mapper.class_.__name__} {shown!r}", streams, store)


def _target(target: Any, key: Any) -> tuple[Mapper[Any], tuple[Any, ...]]:
    if isinstance(target, type):
        model_options(target)
        mapper: Mapper[Any] = inspect(target)
        if key is None:
            raise MappingError(
                f"history of class {target.__name__} needs a key: history(session, {target.__name__}, key)"
            )
        return mapper, identity_of(mapper, key)
    model_options(type(target))
    state: InstanceState[Any] = inspect(target)
    # From the state, not the attributes: reading the key of an expired object would flush.
    if state.identity is None:
        raise StreamNotFoundError(f"{target!r} has no key yet: flush it first")
    return state.mapper, tuple(state.identity)
