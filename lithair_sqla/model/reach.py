"""Which event-sourced tables a statement may write to, read off the statement before it is sent.

A delete or an update of any table reaches, by way of the foreign keys that cascade, tables that refer to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final
from weakref import WeakKeyDictionary

from sqlalchemy import Alias, Insert, Table, TextClause, UpdateBase
from sqlalchemy.exc import NoReferencedTableError
from sqlalchemy.sql import visitors
from sqlalchemy.sql.selectable import SelectBase

from lithair_sqla.schema.guards import guard_of
from lithair_sqla.schema.tables import METADATA_KEY

__all__ = ["refusing_tables", "tables_written", "writes_unknown"]

Tables = tuple[Table, ...]

_NONE: Final[Tables] = ()
_reached: WeakKeyDictionary[Table, tuple[int, Tables]] = WeakKeyDictionary()

_FIRST_WORD: Final = re.compile(r"(?:\s|\(|--[^\n]*\n|/\*.*?\*/)*(\w+)", re.DOTALL)
_WRITING: Final = frozenset({"insert", "update", "delete", "merge", "with", "call", "do", "copy", "truncate"})


def tables_written(statement: Any, *, in_context: bool) -> Tables | None:
    """Return the event-sourced tables that a statement may write to; ``None`` for a text, of which that is not known.

    Args:
        statement: what SQLAlchemy is about to compile and send.
        in_context: whether it matters who writes; only then a query is searched for what it writes in its CTEs.
    """
    if isinstance(statement, UpdateBase):
        written = _of_dml(statement)
        if statement._independent_ctes or isinstance(getattr(statement, "select", None), SelectBase):  # noqa: SLF001
            written += _in_ctes(statement)
        return written
    if isinstance(statement, TextClause):
        return None
    return _in_ctes(statement) if in_context and isinstance(statement, SelectBase) else _NONE


def _of_dml(statement: UpdateBase) -> Tables:
    table: Any = statement.table
    while isinstance(table, Alias):
        table = table.element
    if not isinstance(table, Table):
        return _NONE
    if METADATA_KEY not in table.metadata.info:
        return _NONE
    if isinstance(statement, Insert):
        return (table,) if guard_of(table) is not None else _NONE
    return _reach(table)


def _in_ctes(statement: Any) -> Tables:
    parts = (part for part in visitors.iterate(statement) if isinstance(part, UpdateBase) and part is not statement)
    return tuple(dict.fromkeys(table for part in parts for table in _of_dml(part)))


def _reach(table: Table) -> Tables:
    """Return the event-sourced tables among one and those that the database may change along with it."""
    known = len(table.metadata.tables)
    size, found = _reached.get(table, (0, _NONE))
    if size != known:
        found = tuple(reached for reached in _closure(table) if guard_of(reached) is not None)
        _reached[table] = (known, found)
    return found


def _closure(table: Table) -> list[Table]:
    found = [table]
    for parent in found:  # it grows
        for child in table.metadata.tables.values():
            if child not in found and any(_cascades(key, parent) for key in child.foreign_key_constraints):
                found.append(child)
    return found


def _cascades(key: Any, parent: Table) -> bool:
    if key.ondelete is None and key.onupdate is None:
        return False
    try:
        return key.referred_table is parent
    except NoReferencedTableError:
        return False


def refusing_tables(tables: Iterable[Table]) -> bool:
    """Tell whether one of some event-sourced tables refuses writes that nobody announced."""
    guards = map(guard_of, tables)
    return any(guard is not None and guard.persistence.foreign_writes == "refuse" for guard in guards)


def writes_unknown(text: str) -> str:
    """Say what a text does, as far as its first word tells: ``"write"``, ``"rollback"`` or nothing that matters.

    A function that a text's SELECT calls may write as well: then its events have the actor of an earlier write of the
    transaction.
    """
    found = _FIRST_WORD.match(text)
    word = found[1].lower() if found is not None else ""
    if word in _WRITING:
        return "write"
    return word if word == "rollback" else ""
