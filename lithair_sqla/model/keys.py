"""Which streams an object's rows are: told without the database where Python and PostgreSQL write a key alike."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Table
from sqlalchemy import types as sqltypes
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import InstanceState, Mapper
from sqlalchemy.orm.exc import UnmappedColumnError

from lithair_sqla.errors import CommandError
from lithair_sqla.model.declarative import tables_of
from lithair_sqla.model.fold import folding
from lithair_sqla.model.replay import stream_id
from lithair_sqla.schema.guards import Guard, guard_of, key_columns

__all__ = ["guarded_tables", "has_key", "stream_key"]

_TEXTS: Final = frozenset(
    {sqltypes.String, sqltypes.Text, sqltypes.Unicode, sqltypes.UnicodeText, sqltypes.VARCHAR, sqltypes.TEXT}
)
_UUIDS: Final = frozenset({sqltypes.Uuid, sqltypes.UUID, postgresql.UUID})


def guarded_tables(state: InstanceState[Any]) -> list[tuple[Table, Guard]]:
    """Return the event-sourced tables that an object's rows stand in, base table first."""
    return [(table, guard) for table in tables_of(state.mapper) if (guard := guard_of(table)) is not None]


def has_key(state: InstanceState[Any]) -> bool:
    """Tell whether an object's primary key is known: it was flushed or loaded."""
    return state.key is not None or all(
        value is not None for value in state.mapper.primary_key_from_instance(state.obj())
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """One column of a table's key, as an object has it.

    Attributes:
        name: the attribute's.
        place: in the object's identity, if it stands there.
        write: how a value is written; answers ``None`` where only the database knows.
    """

    name: str
    place: int | None
    write: Callable[[Any], str | None]


_parts: WeakKeyDictionary[Mapper[Any], dict[Table, tuple[_Part, ...]]] = WeakKeyDictionary()


def stream_key(connection: Connection, state: InstanceState[Any], table: Table, guard: Guard) -> str:
    """Write the key of an object's stream as the guard does.

    What the object has in memory counts, then its identity: after a flush that changed a key, memory has the new one.

    Args:
        connection: asked where only the database knows how it writes a type.
        state: the object's.
        table: one that its rows stand in.
        guard: the table's.
    """
    by_table = _parts.setdefault(state.mapper, {})
    parts = by_table.get(table)
    if parts is None:
        parts = by_table[table] = _plan(state.mapper, table, guard)
    values = [_value(state, part) for part in parts]
    texts = [text for part, value in zip(parts, values, strict=True) if (text := part.write(value)) is not None]
    if len(texts) != len(parts):
        return stream_id(connection, folding(connection, table), values).key
    return texts[0] if len(texts) == 1 else json.dumps(texts, ensure_ascii=False)


def _value(state: InstanceState[Any], part: _Part) -> Any:
    if part.name in state.dict:
        return state.dict[part.name]
    return None if state.key is None or part.place is None else state.key[1][part.place]


def _plan(mapper: Mapper[Any], table: Table, guard: Guard) -> tuple[_Part, ...]:
    identity = {mapper.get_property_by_column(column).key: place for place, column in enumerate(mapper.primary_key)}
    found = []
    for column in key_columns(table, guard):
        try:
            name = mapper.get_property_by_column(column).key
        except UnmappedColumnError as error:
            raise CommandError(
                f"{mapper.class_.__name__} does not map {table.fullname}.{column.name}, which is part of the table's "
                "key: its objects do not know which stream is theirs"
            ) from error
        found.append(_Part(name, identity.get(name), _writer(column.type)))
    return tuple(found)


def _writer(type_: Any) -> Callable[[Any], str | None]:
    """Return what writes a value of a type where that is the same in Python and in PostgreSQL."""
    if isinstance(type_, sqltypes.Integer):
        return lambda value: str(int(value)) if isinstance(value, int) and not isinstance(value, bool) else None
    if type(type_) in _TEXTS and type_.collation is None:
        return lambda value: str.__str__(value) if isinstance(value, str) else None
    if type(type_) in _UUIDS:
        return lambda value: str(value) if isinstance(value, UUID) else None
    return lambda _: None
