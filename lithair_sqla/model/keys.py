"""Which streams an object's rows are: told without the database where Python and PostgreSQL write a key alike."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Table
from sqlalchemy import types as sqltypes
from sqlalchemy.orm import InstanceState

from lithair_sqla.model.declarative import tables_of
from lithair_sqla.model.fold import folding
from lithair_sqla.model.replay import stream_id
from lithair_sqla.schema.guards import Guard, guard_of

__all__ = ["guarded_tables", "identity_values", "key_text"]

_PLAIN: Final = (sqltypes.Integer, sqltypes.String, sqltypes.Text, sqltypes.Uuid)
_PADDED: Final = (sqltypes.CHAR, sqltypes.Enum)


def guarded_tables(state: InstanceState[Any]) -> list[tuple[Table, Guard]]:
    """Return the event-sourced tables that an object's rows stand in, base table first."""
    return [(table, guard) for table in tables_of(state.mapper) if (guard := guard_of(table)) is not None]


def identity_values(state: InstanceState[Any]) -> tuple[Any, ...]:
    """Return an object's primary key: its identity, or before it has one the values of its attributes."""
    if state.key is not None:
        return tuple(state.key[1])
    return tuple(state.mapper.primary_key_from_instance(state.obj()))


def key_text(connection: Connection, table: Table, guard: Guard, values: Sequence[Any]) -> str:
    """Write the key of a row's stream as the guard does.

    Args:
        connection: asked where only the database knows how it writes a type.
        table: the row's.
        guard: the table's.
        values: the key's, in the order of the key's columns.
    """
    columns = [table.c[name] for name in guard.keys] or list(table.primary_key.columns)
    texts = [
        str(value)
        for column, value in zip(columns, values, strict=True)
        if isinstance(value, (int, str, UUID))
        and isinstance(column.type, _PLAIN)
        and not isinstance(column.type, _PADDED)
        and not isinstance(value, bool)
    ]
    if len(texts) != len(columns):
        return stream_id(connection, folding(connection, table), values).key
    return texts[0] if len(texts) == 1 else json.dumps(texts, ensure_ascii=False)
