"""Which streams an object's rows are: told without the database where Python and PostgreSQL write a key alike."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Table
from sqlalchemy import types as sqltypes
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import InstanceState

from lithair_sqla.model.declarative import tables_of
from lithair_sqla.model.fold import folding
from lithair_sqla.model.replay import stream_id
from lithair_sqla.schema.guards import Guard, guard_of, key_columns

__all__ = ["guarded_tables", "has_key", "key_values", "stream_key"]

_TEXTS: Final = frozenset(
    {sqltypes.String, sqltypes.Text, sqltypes.Unicode, sqltypes.UnicodeText, sqltypes.VARCHAR, sqltypes.TEXT}
)
_UUIDS: Final = (sqltypes.Uuid, postgresql.UUID)


def guarded_tables(state: InstanceState[Any]) -> list[tuple[Table, Guard]]:
    """Return the event-sourced tables that an object's rows stand in, base table first."""
    return [(table, guard) for table in tables_of(state.mapper) if (guard := guard_of(table)) is not None]


def has_key(state: InstanceState[Any]) -> bool:
    """Tell whether an object's primary key is known: it was flushed or loaded."""
    return state.key is not None or all(
        value is not None for value in state.mapper.primary_key_from_instance(state.obj())
    )


def key_values(state: InstanceState[Any], table: Table, guard: Guard) -> list[Any]:
    """Return the values of a table's key in an object's row, in the order of the key's columns.

    What the object has in memory counts, then its identity: after a flush that changed a key, memory has the new one.
    """
    mapper = state.mapper
    identity = {} if state.key is None else dict(zip(mapper.primary_key, state.key[1], strict=True))
    known = {mapper.get_property_by_column(column).key: value for column, value in identity.items()}
    values = []
    for column in key_columns(table, guard):
        name = mapper.get_property_by_column(column).key
        values.append(state.dict[name] if name in state.dict else known.get(name))
    return values


def stream_key(connection: Connection, table: Table, guard: Guard, values: Sequence[Any]) -> str:
    """Write the key of a row's stream as the guard does.

    Args:
        connection: asked where only the database knows how it writes a type.
        table: the row's.
        guard: the table's.
        values: the key's, in the order of the key's columns.
    """
    columns = key_columns(table, guard)
    texts = [_text(column.type, value) for column, value in zip(columns, values, strict=True)]
    if None in texts:
        return stream_id(connection, folding(connection, table), values).key
    found = [text for text in texts if text is not None]
    return found[0] if len(found) == 1 else json.dumps(found, ensure_ascii=False)


def _text(type_: Any, value: Any) -> str | None:
    """Write one value where that is the same in Python and in PostgreSQL; ``None`` where it may not be."""
    match value:
        case bool():
            return None
        case int() if isinstance(type_, sqltypes.Integer):
            return str(int(value))
        case str() if type(type_) in _TEXTS and type_.collation is None:
            return str.__str__(value)
        case UUID() if type(type_) in _UUIDS:
            return str(value)
        case _:
            return None
