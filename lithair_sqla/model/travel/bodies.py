"""The SQL that stands in for a table in a session on the past: three ways to the same rows.

``key`` and ``keys`` fold the streams that the statement's conditions name. ``hybrid`` takes the table's own rows for
streams without an event after the moment, and folds the others. ``fold`` folds everything from its first event on.

What the texts need to know comes as parameters, marked here and named by ``shadows``: the moment's position, the
transactions left out, and a position after which everything that the moment does not include stands.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Computed

from lithair_sqla.codec.families import DIALECT
from lithair_sqla.model.fold import RECORD, Folding
from lithair_sqla.schema.guard_body import key_expression
from lithair_sqla.schema.names import literal, quote

__all__ = ["MARK", "changed_body", "changed_name", "fold_body", "hybrid_body", "key_body", "keys_body"]

MARK: Final = "\1"
"""Stands before a parameter's name; no SQL text holds this character."""

_MOMENT: Final = f"{MARK}moment"
_LEFT_OUT: Final = f"{MARK}left_out"
_LOW: Final = f"{MARK}low"


def changed_name(fold: Folding) -> str:
    """Name the expression that holds the streams, of a whole store, with an event that the moment does not include."""
    return f"lithair_changed_{fold.names.namespace}"


def _streams(fold: Folding) -> str:
    return f"s.tenant_id = {fold.shape.tenant_id} AND s.name = {fold.stream}"


def _state(fold: Folding) -> str:
    return (
        f"lithair.state_at(s.id, s.first_position, s.snapshot_position, {literal(fold.shape.fingerprint)}, "
        f"{_MOMENT}, {_LEFT_OUT}) f(state)"
    )


def _selected(fold: Folding, source: str) -> str:
    """Write the columns of ``source`` (a FROM with ``f.state``), each under its name and in the table's order."""
    kept = {column.name: column for column in fold.shape.columns}
    known = ", ".join(f"{column.decode('f.state', RECORD)} AS {column.quoted}" for column in kept.values())
    body = f"SELECT {known}\n  FROM {source}"
    computed = [column for column in fold.table.columns if column.name not in kept or kept[column.name].perhaps_virtual]
    if not computed:
        return body
    values = {column.name: quote(column.name) for column in fold.table.columns}
    for column in computed:
        expression = _expression(column)
        if column.name in kept:
            expression = f"coalesce({quote(column.name)}, {expression})"
        values[column.name] = f"{expression} AS {quote(column.name)}"
    # Under the table's own name, by which the expression may call its columns.
    return f"SELECT {', '.join(values.values())} FROM (\n{body}) {quote(fold.table.name)}"


def _expression(column: Column[object]) -> str:
    computed = column.computed
    assert isinstance(computed, Computed)  # noqa: S101 - only generated columns are left out of the log
    text = computed.sqltext.compile(dialect=DIALECT, compile_kwargs={"literal_binds": True})
    return f"({text})"


def key_body(fold: Folding) -> str:
    """Fold the stream of one key, whose values are the parameters ``key_0`` and so on."""
    values = ", ".join(
        f"CAST({MARK}key_{place} AS {key.sql_type}) AS {key.quoted}" for place, key in enumerate(fold.shape.keys)
    )
    return _by_key(fold, f"(SELECT {key_expression(fold.shape.keys, 'k')} FROM (SELECT {values}) k)")


def keys_body(fold: Folding) -> str:
    """Fold the streams of several keys, whose values come as one array a column: ``keys_0`` and so on."""
    arrays = ", ".join(f"CAST({MARK}keys_{place} AS {key.sql_type}[])" for place, key in enumerate(fold.shape.keys))
    names = ", ".join(key.quoted for key in fold.shape.keys)
    return _by_key(
        fold, f"ANY (ARRAY(SELECT {key_expression(fold.shape.keys, 'k')} FROM unnest({arrays}) AS k ({names})))"
    )


def _by_key(fold: Folding, keys: str) -> str:
    return fold.names.render(
        _selected(
            fold,
            f"lithair.streams s CROSS JOIN LATERAL {_state(fold)} CROSS JOIN LATERAL {fold.record()}\n"
            f" WHERE {_streams(fold)} AND s.key = {keys} AND f.state IS NOT NULL",
        )
    )


def hybrid_body(fold: Folding) -> str:
    """Take the rows of unchanged streams from the table, and fold the others."""
    columns = ", ".join(f"t.{quote(column.name)}" for column in fold.table.columns)
    changed = f"{changed_name(fold)} c JOIN lithair.streams s ON s.id = c.stream_id"
    live = (
        f"SELECT {columns}\n  FROM {fold.target} t WHERE NOT EXISTS (SELECT FROM {changed}\n"
        f"   WHERE {_streams(fold)} AND s.key = {key_expression(fold.shape.keys, 't')})"
    )
    past = _selected(
        fold,
        f"{changed} CROSS JOIN LATERAL {_state(fold)} CROSS JOIN LATERAL {fold.record()}\n"
        f" WHERE {_streams(fold)} AND f.state IS NOT NULL",
    )
    return fold.names.render(f"{live}\nUNION ALL\n{past}")


def fold_body(fold: Folding) -> str:
    """Fold every stream from its first event up to the moment."""
    up_to = f"AND e.position <= {_MOMENT} AND e.transaction_id <> ALL ({_LEFT_OUT})"
    return fold.names.render(
        _selected(fold, f"({fold.folded(up_to)}) f CROSS JOIN LATERAL {fold.record()}\n WHERE f.alive")
    )


def changed_body(fold: Folding) -> str:
    """Find the streams, of all tables, with an event that the moment does not include."""
    return fold.names.render(
        "SELECT DISTINCT e.stream_id FROM lithair.events e\n"
        f" WHERE e.position > {_LOW} AND (e.position > {_MOMENT} OR e.transaction_id = ANY ({_LEFT_OUT}))\n"
        "   AND e.kind <> 'n'"
    )
