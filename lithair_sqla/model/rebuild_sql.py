"""The statements of a rebuild: remove what no stream knows, write what is missing or wrong, clear what is in the way.

A row is found by its key and compared as the audit compares it.
"""

from __future__ import annotations

from collections.abc import Iterator

from lithair_sqla.codec.values import ColumnValue
from lithair_sqla.model.fold import RECORD, Folding
from lithair_sqla.schema.guard_body import key_expression
from lithair_sqla.schema.names import literal

__all__ = ["clear_statement", "remove_statement", "sequence_statements", "write_statement"]


def remove_statement(fold: Folding) -> str:
    """Write the DELETE of all rows that no live stream knows."""
    return fold.names.render(f"""\
DELETE FROM {fold.target} t WHERE NOT EXISTS (
  SELECT FROM lithair.streams s WHERE s.tenant_id = {fold.shape.tenant_id} AND s.name = {fold.stream} AND s.status = 0
     AND s.key = {key_expression(fold.shape.keys, "t")})""")


def clear_statement(fold: Folding) -> str:
    """Write the DELETE of all rows that are not what their stream says."""
    log = fold.image(RECORD, state="f.state")
    return fold.names.render(f"""\
DELETE FROM {fold.target} t USING ({fold.folded()}) f, LATERAL {fold.record()}
 WHERE f.alive AND {fold.match("t", RECORD)} AND record_image_ne({fold.image("t")}, {log})""")


def write_statement(fold: Folding, low: int, high: int) -> str:
    """Write the upsert of the rows of a range of streams; a row that is right already is left alone."""
    columns = fold.columns
    # Said of both tables: a range, unlike an equality, is not carried over a join, and the log would be read whole.
    streams = f"BETWEEN {int(low)} AND {int(high)}"
    insert = f"""\
INSERT INTO {fold.target} AS t ({", ".join(column.quoted for column in columns)}) OVERRIDING SYSTEM VALUE
SELECT {fold.values(columns)}
  FROM ({fold.folded(f"AND s.id {streams} AND e.stream_id {streams}")}) f, LATERAL {fold.record()}
 WHERE f.alive"""
    if not fold.table.primary_key.columns:  # an association table that nothing keeps unique
        there = f"EXISTS (SELECT FROM {fold.target} t WHERE {fold.match('t', RECORD)})"
        return fold.names.render(f"{insert} AND NOT {there}")
    conflict = ", ".join(key.quoted for key in fold.shape.keys)
    return fold.names.render(f"{insert}\nON CONFLICT ({conflict}) {_put_right(fold, columns)}")


def _put_right(fold: Folding, columns: tuple[ColumnValue, ...]) -> str:
    always = {column.name for column in fold.table.columns if column.identity is not None and column.identity.always}
    assignments = ", ".join(f"{c.quoted} = excluded.{c.quoted}" for c in columns if c.name not in always)
    if not assignments:
        return "DO NOTHING"
    ours = ", ".join(column.image(f"t.{column.quoted}") for column in columns)
    theirs = ", ".join(column.image(f"excluded.{column.quoted}") for column in columns)
    return f"DO UPDATE SET {assignments} WHERE record_image_ne(ROW({ours}), ROW({theirs}))"


def sequence_statements(fold: Folding) -> Iterator[str]:
    """Write, for each column that a sequence of its own may fill, the statement that lets it go on behind the rows."""
    for column in fold.columns:
        if column.sql_type in {"SMALLINT", "INTEGER", "BIGINT"}:
            sequence = f"pg_get_serial_sequence({literal(fold.target)}, {literal(column.name)})"
            yield f"""\
SELECT setval(q.name, q.highest)
  FROM (SELECT {sequence}::regclass AS name, max({column.quoted}) AS highest FROM {fold.target}) q
 WHERE q.name IS NOT NULL AND q.highest > coalesce(pg_sequence_last_value(q.name), 0)"""
