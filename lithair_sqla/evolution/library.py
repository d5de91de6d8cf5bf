"""The library's own tables and functions, as this version has them and as a database has them.

The tables are compared by Alembic itself, in a context of their own. Functions, the aggregate and the view are known by
the hash of their definition, which stands in their COMMENT: so a changed body is a replacement, what is there is kept
for the way back, and a function of the user's own is never touched.
"""

from __future__ import annotations

from typing import Any, Final

from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext
from alembic.runtime.plugins import Plugin
from alembic.util import PriorityDispatcher
from sqlalchemy import Connection, MetaData, String, text

from lithair_sqla.evolution.definitions import definition_of
from lithair_sqla.evolution.operations import LithairRunOp
from lithair_sqla.schema.check import function_comments
from lithair_sqla.schema.functions import (
    library_functions,
    parts_schema_statement,
    sequence_statement,
)
from lithair_sqla.schema.names import Names, quote
from lithair_sqla.schema.tables import InternalChar, LibraryTables

__all__ = ["foundation_changes", "function_changes", "table_changes"]

_COMPARISONS: Final = ("schemas", "tables", "types", "constraints", "comments")


def foundation_changes(connection: Connection, names: Names) -> list[ops.MigrateOperation]:
    """Make what the tables need where it is missing: their schema, the partitions', the sequence of positions."""
    changes: list[ops.MigrateOperation] = []
    wanted = {names.schema: f"CREATE SCHEMA IF NOT EXISTS {names.quoted_schema}"}
    wanted[names.parts_schema] = parts_schema_statement(names)
    for schema, statement in wanted.items():
        if not _exists(connection, "SELECT to_regnamespace(:name) IS NOT NULL", quote(schema)):
            changes.append(
                LithairRunOp(
                    f"schema {schema}",
                    (statement,),
                    reverse_label=f"drop schema {schema}",
                    reverse_statements=(_drop_if_empty(schema),),
                )
            )
    position = names.object("position")
    if not _exists(connection, "SELECT to_regclass(:name) IS NOT NULL", position):
        changes.append(
            LithairRunOp(
                "sequence of positions",
                (sequence_statement(names),),
                reverse_label="drop sequence of positions",
                reverse_statements=(f"DROP SEQUENCE IF EXISTS {position}",),
            )
        )
    return changes


def _drop_if_empty(schema: str) -> str:
    """Drop a schema unless somebody has put something of their own into it."""
    return (
        f"DO $lithair$ BEGIN DROP SCHEMA IF EXISTS {quote(schema)}; "
        "EXCEPTION WHEN dependent_objects_still_exist THEN NULL; END $lithair$"
    )


def table_changes(context: AutogenContext, names: Names) -> list[ops.MigrateOperation]:
    """Compare the library's tables as Alembic would, in a context that knows of nothing else.

    Args:
        context: the comparison under way.
        names: of the store.
    """
    connection: Any = context.connection
    default = connection.dialect.default_schema_name
    own = LibraryTables.of(MetaData(), names.config.replace(schema=None if names.schema == default else names.schema))
    tables = {table.name for table in own.all}

    def include_name(name: str | None, kind: str, parents: Any) -> bool:
        if kind == "schema":
            return (name or default) == names.schema
        return kind != "table" or (name in tables and (parents.get("schema_name") or default) == names.schema)

    options = {
        "target_metadata": own.metadata,
        "include_schemas": True,
        "include_name": include_name,
        "compare_type": _compare_type,
        "script": context.migration_context.script,
    }
    apart = AutogenContext(MigrationContext.configure(connection, opts=options), own.metadata)
    # Alembic's own comparisons, and nothing of what others have added to them.
    apart.comparators = PriorityDispatcher()
    Plugin.populate_autogenerate_priority_dispatch(
        apart.comparators, include_plugins=[f"alembic.autogenerate.{name}" for name in _COMPARISONS]
    )
    found = ops.UpgradeOps([])
    apart.comparators.dispatch("autogenerate", qualifier="postgresql")(apart, found)
    return list(found.ops)


def _compare_type(_: Any, __: Any, ___: Any, found: Any, wanted: Any) -> bool | None:
    """Know PostgreSQL's one-byte type again, which SQLAlchemy reads back as a plain string; ``None`` asks Alembic."""
    return False if isinstance(wanted, InternalChar) and type(found) is String else None


def function_changes(connection: Connection, names: Names) -> list[ops.MigrateOperation]:
    """Make or replace the functions that are missing or of another version, and the first partitions."""
    found = function_comments(connection, names)
    changes: list[ops.MigrateOperation] = []
    for function in library_functions(names):
        comment = found.get(function.name)
        if comment == function.comment:
            continue
        if function.name in found:
            undo, word = definition_of(connection, function), "restore"
        else:
            undo, word = (f"DROP {function.kind} IF EXISTS {function.signature}",), "drop"
        what = f"{function.kind.lower()} {names.config.prefix}{function.name}"
        changes.append(LithairRunOp(what, function.statements, reverse_label=f"{word} {what}", reverse_statements=undo))
    if not _exists(
        connection,
        "SELECT EXISTS (SELECT FROM pg_inherits WHERE inhparent = to_regclass(:name))",
        names.object("events"),
    ):
        # Those to come are made ahead by start-up and by writers.
        changes.append(LithairRunOp("first partitions of the log", (f"SELECT {names.object('extend_log')}()",)))
    return changes


def _exists(connection: Connection, question: str, name: str) -> bool:
    return bool(connection.execute(text(question), {"name": name}).scalar_one())
