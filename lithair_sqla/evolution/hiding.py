"""What Alembic's own comparison is not to see: the library's tables and the partitions of the log.

They are compared apart (see ``library``), so that filters, naming conventions and other settings of a project's env.py
say nothing about them. A partition belongs to no metadata: seen, it would be proposed for dropping.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, text

from lithair_sqla.evolution.libraries import libraries_of
from lithair_sqla.schema.create import names_in
from lithair_sqla.schema.names import Names

__all__ = ["hide"]


def hide(context: Any) -> None:
    """Leave the library's tables, its partitions and their schema out of a comparison that is about to begin.

    Args:
        context: Alembic's ``AutogenContext``.
    """
    libraries = libraries_of(context.metadata)
    if not libraries:
        return
    connection: Connection = context.connection
    default = connection.dialect.default_schema_name
    hidden: set[tuple[str | None, str]] = set()
    schemas: set[str] = set()
    for config, several in libraries.items():
        names = names_in(connection, config, refresh=True)
        relations = {(names.schema, table.name) for table in several[0].all} | _partitions(connection, names)
        hidden |= {(schema if schema != default else None, name) for schema, name in relations}
        if config.parts_schema is None:  # one that the user named may hold tables of theirs
            schemas.add(names.parts_schema)
    _hide_in_database(context, hidden, schemas)
    _hide_in_metadata(
        context, {table for several in libraries.values() for library in several for table in library.all}
    )


def _partitions(connection: Connection, names: Names) -> set[tuple[str, str]]:
    """Return schema and name of every partition of the log, wherever it stands."""
    rows = connection.execute(
        text(
            "SELECT n.nspname, c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
            "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE i.inhparent = to_regclass(:events)"
        ),
        {"events": names.object("events")},
    )
    return {(row[0], row[1]) for row in rows}


def _hide_in_database(context: Any, hidden: set[tuple[str | None, str]], schemas: set[str]) -> None:
    def is_shown(name: str | None, kind: str, parents: Any) -> bool:
        if kind == "schema":
            return name not in schemas
        return kind != "table" or (parents.get("schema_name"), name) not in hidden

    # Alembic reads env.py's include_name from here; there is no public way to add to it.
    context._name_filters = [is_shown, *context._name_filters]  # noqa: SLF001


def _hide_in_metadata(context: Any, hidden: set[Any]) -> None:
    """Set what Alembic would gather from the metadata itself, without the library's tables.

    Several metadata that share a store have them several times, which Alembic would refuse.
    """
    metadata = context.metadata if isinstance(context.metadata, (list, tuple)) else [context.metadata]
    tables = [table for single in metadata for table in single.sorted_tables if table not in hidden]
    keys: dict[str, Any] = {}
    for table in tables:
        if keys.setdefault(table.key, table) is not table:
            return  # Alembic's own message about it is the right one
    context.sorted_tables = tables
    context.table_key_to_table = keys
