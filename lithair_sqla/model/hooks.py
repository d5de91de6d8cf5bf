"""What happens beside a write: guards are checked once an engine, and the database is told who writes and why.

Nothing here captures anything: the guard does. One listener sees every statement that SQLAlchemy sends, whether a
flush, a bulk method, Core or ``text()`` made it, in sessions of every kind and outside of any; for what cannot touch
an event-sourced table it costs a look-up. A write without a context, on an engine that was checked, sends nothing more.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Dialect, Engine, Table, event

from lithair_sqla.context import current_context
from lithair_sqla.model.announcing import NO_CONTEXT, announce, forget_savepoints
from lithair_sqla.model.reach import refusing_tables, tables_written, writes_unknown
from lithair_sqla.schema.check import check_functions, check_guards, raise_first
from lithair_sqla.schema.create import names_in
from lithair_sqla.schema.guards import Guard, guard_of
from lithair_sqla.schema.names import Names
from lithair_sqla.schema.tables import LibraryTables

__all__ = ["prepare"]

_checked: WeakKeyDictionary[Dialect, dict[Names, WeakKeyDictionary[Table, Guard | None]]] = WeakKeyDictionary()
"""The guards that tables were declared to have when they were looked for in an engine's database, and found."""


@event.listens_for(Engine, "before_execute")
def _before_execute(connection: Connection, clauseelement: Any, _: Any, __: Any, ___: Any) -> None:
    tables = tables_written(clauseelement, in_context=current_context() != NO_CONTEXT)
    if tables:
        prepare(connection, tables)
    elif tables is None:
        _before_text(connection, clauseelement.text)


def _before_text(connection: Connection, text: str) -> None:
    """What a text writes to cannot be told; who writes can, and that it is a session of ours."""
    unknown = writes_unknown(text)
    if unknown == "rollback":
        forget_savepoints(connection)
    elif unknown == "write":
        by_names = _checked.get(connection.dialect, {})
        refusing = any(refusing_tables(tables) for tables in by_names.values())
        if refusing or current_context() != NO_CONTEXT:
            # A key is taken in the store of this engine; where that is not known, with a later write.
            announce(connection, names=next(iter(by_names), None), refusing=refusing)


def prepare(connection: Connection, tables: Iterable[Table]) -> None:
    """Check the guards of some event-sourced tables, once, and say who is about to write to them.

    Args:
        connection: in the transaction that is about to write, or not yet in one.
        tables: of one metadata.

    Raises:
        SchemaError: a guard, or a function of the library, is missing, disabled or outdated.
        DuplicateCommand: the context's idempotency key was used before.
        CommandError: there is an idempotency key, but the connection is in AUTOCOMMIT.
    """
    tables = tuple(tables)
    names = names_in(connection, LibraryTables.of(tables[0].metadata).config)
    known = _checked.setdefault(connection.dialect, {}).setdefault(names, WeakKeyDictionary())
    new = [table for table in tables if known.get(table) is not guard_of(table)]
    if new:
        raise_first([*check_functions(connection, names), *check_guards(connection, new, names)])
        known.update((table, guard_of(table)) for table in new)
    announce(connection, names=names, refusing=refusing_tables(tables))
