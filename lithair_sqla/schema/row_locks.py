"""The statement that locks the rows behind some streams, made from a table's shape when its guard is.

Whatever appends to a table's stream without changing the row locks the row first, as the guard's own statement has; in
the order of the table's key, as a unit of work does. ``sql/lock_rows.sql`` runs it.
"""

from __future__ import annotations

from lithair_sqla.codec.values import ColumnValue
from lithair_sqla.schema.guard_body import GuardShape

__all__ = ["row_lock_statement"]


def row_lock_statement(shape: GuardShape, target: str) -> str:
    """Write it for a table called ``target``; its one parameter is the streams' keys, as ``text[]``.

    An index on the table's key answers it: the keys are made values of the columns' types, not the columns text.
    """
    single = len(shape.keys) == 1 and not shape.keys[0].nullable
    conditions = []
    for place, key in enumerate(shape.keys):
        text = "k.key" if single else f"(k.key::jsonb->>{place})"
        equals = "OPERATOR({{citext}}.=)" if key.family == "citext" else "="
        conditions.append(f"t.{key.quoted} {equals} {_typed(key, text)}")
    order = ", ".join(f"t.{key.quoted}" for key in shape.keys)
    return (
        f"SELECT 1 FROM {target} t JOIN unnest($1) k(key) ON {' AND '.join(conditions)} "
        f"ORDER BY {order} FOR NO KEY UPDATE OF t"
    )


def _typed(key: ColumnValue, text: str) -> str:
    """Read a column's part of a stream's key back: the other way round of ``ColumnValue.key_of``."""
    match key.family:
        case "citext":
            return f"{text}::{{{{citext}}}}.citext"
        case "timestamptz":
            return f"({text}::timestamp AT TIME ZONE 'UTC')"
        case _:
            return f"{text}::{key.sql_type}"
