"""Rebuild a table from its log: missing rows are inserted, wrong ones put right, those that no stream knows removed.

It walks the streams by ranges of their ids, each range a transaction of its own, so it shows progress, can be stopped
and run again, and ends in the same place whatever the table held before.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, Table, text
from sqlalchemy.orm import Session

from lithair_sqla.model.fold import Folding, event_sourced_tables, folding
from lithair_sqla.schema.guard_body import key_expression
from lithair_sqla.schema.guards import GUARD_TRIGGER, TRUNCATE_TRIGGER
from lithair_sqla.schema.names import literal, quote

__all__ = ["RebuildReport", "rebuild"]

STREAMS_A_BATCH = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildReport:
    """What a rebuild did.

    Attributes:
        table: the table's name.
        streams: streams read.
        written: rows inserted or put right.
        removed: rows that no live stream knows.
    """

    table: str
    streams: int
    written: int
    removed: int


def rebuild(
    where: Engine | Session,
    target: type | Table,
    *,
    progress: Callable[[int, int], None] | None = None,
    batch_streams: int = STREAMS_A_BATCH,
) -> list[RebuildReport]:
    """Make the tables of a class equal to what their log says.

    Args:
        where: an engine, or a session that knows one (the rebuild has transactions of its own). Its role must own the
            library's objects, since the guard lets nobody else write unlogged, and the table where it has triggers of
            the user's own, which are switched off for each transaction.
        target: an event-sourced class (all its tables, parents first) or table.
        progress: called with (streams done, streams in all) after each batch.
        batch_streams: streams a transaction.

    Returns:
        One report a table.

    Raises:
        MappingError: the class or table is not event-sourced.
    """
    reports = []
    for table in event_sourced_tables(target):
        bind = where.get_bind(clause=table) if isinstance(where, Session) else where
        reports.append(_rebuild_table(bind.engine, table, progress, batch_streams))
    return reports


def _rebuild_table(
    engine: Engine, table: Table, progress: Callable[[int, int], None] | None, batch_streams: int
) -> RebuildReport:
    with engine.connect() as connection:
        fold = folding(connection, table)
        # Rows that refer to rows of their own table must come in one statement, at whose end the reference is checked.
        refers_to_itself = any(key.column.table is table for key in table.foreign_keys)
        bounds = _ranges(connection, fold, sys.maxsize if refers_to_itself else batch_streams)
    total = sum(count for _, _, count in bounds)
    done = written = 0
    # What no stream knows goes first: it could stand in the way of a unique constraint.
    with _replaying(engine, fold) as connection:
        removed = connection.exec_driver_sql(_remove_statement(fold).replace("%", "%%"), ()).rowcount
    for low, high, count in bounds:
        with _replaying(engine, fold) as connection:
            statement = _write_statement(fold).replace("%", "%%")
            written += connection.exec_driver_sql(statement.replace("%%s", "%s"), (low, high)).rowcount
        done += count
        if progress is not None:
            progress(done, total)
    return RebuildReport(table=table.fullname, streams=total, written=written, removed=removed)


def _ranges(connection: Connection, fold: Folding, batch_streams: int) -> list[tuple[int, int, int]]:
    """Cut the table's streams into ranges of ids that hold about ``batch_streams`` each."""
    rows = connection.execute(
        text(
            fold.names.render(
                "SELECT min(id), max(id), count(*) FROM ("
                "SELECT s.id, (row_number() OVER (ORDER BY s.id) - 1) / :size AS batch "
                "FROM lithair.streams s WHERE s.tenant_id = :tenant AND s.name = :name) s GROUP BY batch ORDER BY batch"
            )
        ),
        {"size": batch_streams, "tenant": fold.shape.tenant_id, "name": fold.shape.stream},
    )
    return [(row[0], row[1], row[2]) for row in rows]


@contextmanager
def _replaying(engine: Engine, fold: Folding) -> Iterator[Connection]:
    """Open a transaction whose writes to the table are not logged again and fire no trigger of the user's."""
    with engine.begin() as connection:
        begin = f"SELECT {fold.names.object('begin_replay')}({literal(fold.target)}::regclass)"
        connection.exec_driver_sql(begin.replace("%", "%%"), ())
        triggers = connection.execute(
            text(
                "SELECT tgname, tgenabled::text FROM pg_trigger WHERE tgrelid = to_regclass(:target) "
                "AND NOT tgisinternal "
                "AND tgenabled <> 'D' AND tgname NOT IN (:guard, :truncate)"
            ),
            {"target": fold.target, "guard": GUARD_TRIGGER, "truncate": TRUNCATE_TRIGGER},
        ).all()
        for name, _ in triggers:
            _alter(connection, fold, f"DISABLE TRIGGER {quote(name)}")
        yield connection
        for name, enabled in triggers:
            how = {"A": "ENABLE ALWAYS", "R": "ENABLE REPLICA"}.get(enabled, "ENABLE")
            _alter(connection, fold, f"{how} TRIGGER {quote(name)}")


def _alter(connection: Connection, fold: Folding, what: str) -> None:
    connection.exec_driver_sql(f"ALTER TABLE {fold.target} {what}".replace("%", "%%"), ())


def _write_statement(fold: Folding) -> str:
    columns = fold.columns
    names = ", ".join(column.quoted for column in columns)
    keys = {key.name for key in fold.shape.keys}
    rest = [column for column in columns if column.name not in keys]
    conflict = ", ".join(key.quoted for key in fold.shape.keys)
    if rest:
        assignments = ", ".join(f"{column.quoted} = excluded.{column.quoted}" for column in columns)
        ours = ", ".join(_comparable(column.sql_type, f"t.{column.quoted}") for column in columns)
        theirs = ", ".join(_comparable(column.sql_type, f"excluded.{column.quoted}") for column in columns)
        action = f"DO UPDATE SET {assignments} WHERE record_image_ne(ROW({ours}), ROW({theirs}))"
    else:
        action = "DO NOTHING"
    insert = f"""\
INSERT INTO {fold.target} AS t ({names}) OVERRIDING SYSTEM VALUE
SELECT {fold.values(columns)} FROM ({fold.folded("AND s.id BETWEEN %s AND %s")}) f, LATERAL {fold.record()}
 WHERE f.alive"""
    if not fold.table.primary_key.columns:  # an association table that nothing keeps unique
        return fold.names.render(f"{insert} AND NOT EXISTS (SELECT FROM {fold.target} t WHERE {fold.match('t', 'r')})")
    return fold.names.render(f"{insert}\nON CONFLICT ({conflict}) {action}")


def _comparable(sql_type: str, value: str) -> str:
    return f"{value}::jsonb" if sql_type == "JSON" else value


def _remove_statement(fold: Folding) -> str:
    return fold.names.render(f"""\
DELETE FROM {fold.target} t WHERE NOT EXISTS (
  SELECT FROM lithair.streams s WHERE s.tenant_id = {fold.shape.tenant_id} AND s.name = {fold.stream} AND s.status = 0
     AND s.key = {key_expression(fold.shape.keys, "t")})""")
