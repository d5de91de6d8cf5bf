"""Is what stands in the database what this version of the library and these tables need? Two statements tell.

The session's hooks ask once an engine, at the first flush; ``audit``, health and ``alembic check`` ask again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import md5

from sqlalchemy import Connection, Table, text

from lithair_sqla.errors import GuardError, SchemaError, SchemaMissingError, SchemaVersionError
from lithair_sqla.schema.functions import library_functions
from lithair_sqla.schema.guards import GUARD_TRIGGER, TRUNCATE_TRIGGER, GuardSql, guard_sql, qualified
from lithair_sqla.schema.names import Names

__all__ = ["Problem", "check_functions", "check_guards", "function_comments", "raise_first"]

_MEND = "run `alembic upgrade head`, or lithair_sqla.create_all(engine, Base)"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is not as it should be.

    Attributes:
        subject: a function's name, or a table's.
        reason: ``missing``, ``disabled`` or ``outdated``.
        error: the error that says so and what to do.
    """

    subject: str
    reason: str
    error: SchemaError


def function_comments(connection: Connection, names: Names) -> dict[str, str | None]:
    """Read the marks of the library's functions and views that are there, by name without prefix."""
    prefix = names.config.prefix
    rows = connection.execute(
        text(
            "SELECT p.proname, obj_description(p.oid, 'pg_proc') FROM pg_proc p "
            "WHERE p.pronamespace = to_regnamespace(:schema) AND starts_with(p.proname, :prefix) UNION ALL "
            "SELECT c.relname, obj_description(c.oid, 'pg_class') FROM pg_class c "
            "WHERE c.relnamespace = to_regnamespace(:schema) AND c.relkind = 'v' AND starts_with(c.relname, :prefix)"
        ),
        {"schema": names.quoted_schema, "prefix": prefix},
    )
    return {row[0][len(prefix) :]: row[1] for row in rows}


def check_functions(connection: Connection, names: Names) -> list[Problem]:
    """Compare the library's functions in the database with this version's."""
    found = function_comments(connection, names)
    problems: list[Problem] = []
    for function in library_functions(names):
        what = f"{function.kind.lower()} {names.schema}.{names.config.prefix}{function.name}"
        if function.name not in found:
            error: SchemaError = SchemaMissingError(f"{what} is missing: {_MEND}")
            problems.append(Problem(function.name, "missing", error))
        elif found[function.name] != function.comment:
            error = SchemaVersionError(f"{what} is of another version of lithair_sqla: {_MEND}")
            problems.append(Problem(function.name, "outdated", error))
    return problems


def check_guards(connection: Connection, tables: Iterable[Table], names: Names) -> list[Problem]:
    """Compare the guards of some event-sourced tables with what their columns and options ask for."""
    wanted = {qualified(table, names): (table, guard_sql(table, names)) for table in tables}
    if not wanted:
        return []
    rows = connection.execute(
        text(_GUARDS), {"names": list(wanted), "guard": GUARD_TRIGGER, "truncate": TRUNCATE_TRIGGER}
    )
    problems: list[Problem] = []
    for name, exists, *found in rows:
        table, sql = wanted[name]
        if not exists:
            error: SchemaError = SchemaMissingError(f"table {table.fullname} is missing: {_MEND}")
            problems.append(Problem(table.fullname, "missing", error))
            continue
        reason = _reason(found, sql)
        if reason is not None:
            error = GuardError(
                f"the guard of table {table.fullname} is {reason}, so writes to it would not all reach the "
                f"log: {_MEND}",
                table=table.fullname,
                reason=reason,
            )
            problems.append(Problem(table.fullname, reason, error))
    return problems


# A guard that a person switched off on one partition is off for the rows in it.
_GUARDS = """\
SELECT w.name, to_regclass(w.name) IS NOT NULL, obj_description(g.oid, 'pg_trigger'), md5(p.prosrc), g.tgenabled::text,
    t.tgenabled::text, (SELECT min(x.tgenabled::text) FROM pg_partition_tree(to_regclass(w.name)) l
       JOIN pg_trigger x ON x.tgrelid = l.relid AND x.tgname = :guard WHERE x.tgenabled <> 'A')
  FROM unnest(CAST(:names AS text[])) w(name)
  LEFT JOIN pg_trigger g ON g.tgrelid = to_regclass(w.name) AND g.tgname = :guard
  LEFT JOIN pg_proc p ON p.oid = g.tgfoid
  LEFT JOIN pg_trigger t ON t.tgrelid = to_regclass(w.name) AND t.tgname = :truncate"""


def _reason(found: Sequence[str | None], wanted: GuardSql) -> str | None:
    comment, source, guard, truncate, leaf = found
    if guard is None or truncate is None:
        return "missing"
    if (guard, truncate, leaf) != ("A", "A", None):
        return "disabled"
    own = md5(wanted.source.encode(), usedforsecurity=False).hexdigest()
    return None if (comment, source) == (wanted.comment, own) else "outdated"


def raise_first(problems: list[Problem]) -> None:
    """Raise the first problem's error, with the number of the others.

    Raises:
        SchemaError: there is a problem.
    """
    if not problems:
        return
    first = problems[0].error
    if len(problems) > 1:
        first.args = (f"{first.args[0]} ({len(problems) - 1} more such problems)",)
    raise first
