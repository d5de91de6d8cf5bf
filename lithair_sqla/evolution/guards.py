"""Guards that a script makes, replaces or takes away, each in the transaction that changes its table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Table, text

from lithair_sqla.evolution.definitions import functions_of_guard, standing_guard
from lithair_sqla.evolution.operations import LithairRunOp
from lithair_sqla.schema.check import check_guards
from lithair_sqla.schema.guards import (
    GUARD_TRIGGER,
    TRUNCATE_TRIGGER,
    GuardSql,
    guard_sql,
    qualified,
    shape_of,
    truncate_trigger,
)
from lithair_sqla.schema.names import Names, literal, quote
from lithair_sqla.schema.shapes import record_statement

__all__ = ["guard_changes", "guard_removals"]


def guard_changes(connection: Connection, tables: Iterable[Table], names: Names) -> dict[Table, LithairRunOp]:
    """Make or replace the guards of some tables; a table that is yet to be made gets a new one."""
    changes = {}
    for table in tables:
        if not check_guards(connection, [table], names):
            continue
        wanted = guard_sql(table, names)
        target = qualified(table, names)
        statements = (*wanted.statements, *_on_partitions(table, target, wanted), record_statement(table, names))
        label = f"guard of {table.fullname}"
        standing = standing_guard(connection, target, names)
        forget = _forget(table, names)
        if standing:
            word, undo = "restore", (*standing, *_unused(connection, target, wanted, names), forget)
        else:
            word, undo = "drop", (*_removal(target, _own_functions(wanted, names)), forget)
        changes[table] = LithairRunOp(label, statements, reverse_label=f"{word} {label}", reverse_statements=undo)
    return changes


def guard_removals(connection: Connection, context: Any, tables: Iterable[Table], names: Names) -> list[LithairRunOp]:
    """Take away the guards of tables that are no longer declared event-sourced.

    Tables that the comparison leaves out (another environment's, or filtered by env.py) keep theirs.
    """
    kept = {qualified(table, names) for table in tables}
    rows = connection.execute(
        text(_GUARDED),
        {"guard": GUARD_TRIGGER, "schema": names.quoted_schema, "prefix": f"{names.config.prefix}guard_"},
    ).all()
    default = connection.dialect.default_schema_name
    changes = []
    for schema, name in rows:
        target = f"{quote(schema)}.{quote(name)}"
        shown = None if schema == default else schema
        if target in kept or (shown is not None and not context.opts.get("include_schemas")):
            continue
        if not context.run_name_filters(name, "table", {"schema_name": shown}):
            continue
        label = f"guard of {name if shown is None else f'{schema}.{name}'}"
        changes.append(
            LithairRunOp(
                f"drop {label}",
                _removal(target, functions_of_guard(connection, target, names)),
                reverse_label=f"restore {label}",
                reverse_statements=standing_guard(connection, target, names),
            )
        )
    return changes


_GUARDED: Final = """\
SELECT n.nspname, c.relname FROM pg_trigger t
  JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_proc p ON p.oid = t.tgfoid
 WHERE t.tgname = :guard AND t.tgparentid = 0 AND p.pronamespace = to_regnamespace(:schema)
   AND starts_with(p.proname, :prefix)
 ORDER BY 1, 2"""

_PART: Final = "\1"
"""Stands for a partition's name; no SQL text holds this character."""


def _on_partitions(table: Table, target: str, guard: GuardSql) -> list[str]:
    """Answer TRUNCATE of a partition too: unlike the row trigger, PostgreSQL does not hand that one down."""
    if table.dialect_options["postgresql"]["partition_by"] is None:
        return []
    return [_on_every_partition(target, lambda part: truncate_trigger(part, guard.on_truncate))]


def _forget(table: Table, names: Names) -> str:
    """Put the record of a shape back to what it is now: on the way back, a shape that no event has is forgotten."""
    shape, schemas = shape_of(table, names.config), names.object("schemas")
    which = f"name = {literal(shape.stream)} AND schema_version = {shape.schema_version}"
    return f"DELETE FROM {schemas} WHERE {which}"


def _own_functions(guard: GuardSql, names: Names) -> tuple[str, ...]:
    """Return the quoted names of the functions that are a guard's alone."""
    return (guard.name,) if guard.on_truncate == names.object("refuse_truncate") else (guard.name, guard.on_truncate)


def _unused(connection: Connection, target: str, wanted: GuardSql, names: Names) -> tuple[str, ...]:
    """Drop, on the way back, functions that the standing guard does not have."""
    standing = functions_of_guard(connection, target, names)
    return tuple(f"DROP FUNCTION IF EXISTS {name}()" for name in _own_functions(wanted, names) if name not in standing)


def _removal(target: str, functions: Iterable[str]) -> tuple[str, ...]:
    return (
        f"DROP TRIGGER IF EXISTS {quote(GUARD_TRIGGER)} ON {target}",
        _on_every_partition(target, lambda part: [f"DROP TRIGGER IF EXISTS {quote(TRUNCATE_TRIGGER)} ON {part}"]),
        *(f"DROP FUNCTION IF EXISTS {function}()" for function in functions),
    )


def _on_every_partition(target: str, statement: Callable[[str], Sequence[str]]) -> str:
    """Run statements on a table and all its partitions: which those are is told when it runs.

    Args:
        target: the table's quoted name.
        statement: writes them for a relation of that name.
    """
    loop = "\n".join(
        "    EXECUTE " + " || part || ".join(literal(piece) for piece in text.split(_PART)) + ";"
        for text in statement(_PART)
    )
    body = (
        f"\nDECLARE\n  part regclass;\nBEGIN\n  FOR part IN SELECT {literal(target)}::regclass\n"
        f"      UNION SELECT relid FROM pg_partition_tree({literal(target)}::regclass) LOOP\n{loop}\n  END LOOP;\nEND\n"
    )
    tag = "$lithair$"
    while tag in body:  # a user's identifier may hold anything
        tag = f"{tag[:-1]}_$"
    return f"DO {tag}{body}{tag}"
