"""Read back how something of the library's stands in the database, as the statements that would put it back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from lithair_sqla.schema.functions import LibraryFunction
from lithair_sqla.schema.guards import GUARD_TRIGGER, TRUNCATE_TRIGGER
from lithair_sqla.schema.names import Names, literal, quote

__all__ = ["definition_of", "functions_of_guard", "standing_guard"]

_TRIGGERS: Final = """\
SELECT t.tgname AS name, n.nspname AS schema, p.proname AS function, pg_get_functiondef(p.oid) AS body,
    pg_get_triggerdef(t.oid) AS trigger, t.tgenabled::text AS enabled, obj_description(t.oid, 'pg_trigger') AS comment
  FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE t.tgrelid = to_regclass(:target) AND t.tgname IN (:guard, :truncate) ORDER BY t.tgname"""

_ENABLE: Final = {"A": "ENABLE ALWAYS", "R": "ENABLE REPLICA", "D": "DISABLE", "O": "ENABLE"}


def definition_of(connection: Connection, function: LibraryFunction) -> tuple[str, ...]:
    """Read back a function, aggregate or view of the library, with its mark."""
    with _names_written_out(connection):
        if function.kind == "AGGREGATE":
            statement = function.statement
        elif function.kind == "VIEW":
            body = connection.execute(
                text("SELECT pg_get_viewdef(to_regclass(:name))"), {"name": function.signature}
            ).scalar_one()
            statement = f"CREATE OR REPLACE VIEW {function.signature} AS\n{body}"
        else:
            statement = connection.execute(
                text("SELECT pg_get_functiondef(CAST(:name AS regproc))"), {"name": function.signature}
            ).scalar_one()
        catalog = "pg_class" if function.kind == "VIEW" else "pg_proc"
        finder = "to_regclass" if function.kind == "VIEW" else "to_regproc"
        name = function.signature.removesuffix("(jsonb)")
        comment = connection.execute(
            text(f"SELECT obj_description({finder}(:name), :catalog)"), {"name": name, "catalog": catalog}
        ).scalar_one()
    return statement.rstrip(), f"COMMENT ON {function.kind} {function.signature} IS {literal(comment)}"


def standing_guard(connection: Connection, target: str, names: Names) -> tuple[str, ...]:
    """Read back a table's guard; nothing where there is none.

    Args:
        connection: on the database.
        target: the table's quoted name.
        names: of the store.
    """
    statements: list[str] = []
    for row, function in _triggers(connection, target):
        if function != names.object("refuse_truncate"):
            statements.append(row.body.rstrip())
        statements += [
            row.trigger.replace("CREATE TRIGGER", "CREATE OR REPLACE TRIGGER", 1),
            f"ALTER TABLE {target} {_ENABLE[row.enabled]} TRIGGER {quote(row.name)}",
            f"COMMENT ON TRIGGER {quote(row.name)} ON {target} IS {literal(row.comment)}",
        ]
    return tuple(statements)


def functions_of_guard(connection: Connection, target: str, names: Names) -> tuple[str, ...]:
    """Return the quoted names of the functions that a standing guard has to itself."""
    shared = names.object("refuse_truncate")
    return tuple(function for _, function in _triggers(connection, target) if function != shared)


def _triggers(connection: Connection, target: str) -> list[tuple[Row[Any], str]]:
    """Read a guard's triggers, each with the quoted name of its function."""
    with _names_written_out(connection):
        rows = connection.execute(
            text(_TRIGGERS), {"target": target, "guard": GUARD_TRIGGER, "truncate": TRUNCATE_TRIGGER}
        ).all()
    return [(row, f"{quote(row.schema)}.{quote(row.function)}") for row in rows]


@contextmanager
def _names_written_out(connection: Connection) -> Iterator[None]:
    """Let the database name everything with its schema, whatever stands in the search path."""
    before = connection.exec_driver_sql("SHOW search_path").scalar_one()
    setting = text("SELECT set_config('search_path', :path, true)")
    connection.execute(setting, {"path": "pg_catalog"})
    yield
    connection.execute(setting, {"path": before})
