"""The record of shapes: which columns the events of a stream name have, at which schema version, and whose they are."""

from __future__ import annotations

from sqlalchemy import Table

from lithair_sqla.schema.guards import qualified, shape_of
from lithair_sqla.schema.names import Names, literal
from lithair_sqla.schema.row_locks import row_lock_statement

__all__ = ["record_statement"]


def record_statement(table: Table, names: Names) -> str:
    """Write the statement that records the shape of a table's events, and that streams of its name are the table's."""
    shape, target = shape_of(table, names.config), qualified(table, names)
    values = {
        "name": literal(shape.stream),
        "schema_version": str(shape.schema_version),
        "relation": literal(target),
        "row_lock": literal(names.render(row_lock_statement(shape, target))),
        "fingerprint": literal(shape.fingerprint),
        "columns": f"{literal(shape.columns_json)}::jsonb",
    }
    changed = ", ".join(f"{name} = excluded.{name}" for name in list(values)[2:])
    return (
        f"INSERT INTO {names.object('schemas')} ({', '.join(values)})\nVALUES ({', '.join(values.values())})\n"
        f"ON CONFLICT (name, schema_version) DO UPDATE SET {changed}"
    )
