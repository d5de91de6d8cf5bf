"""Rebuild a table from its log: missing rows are inserted, wrong ones put right, those that no stream knows removed.

It walks the streams by ranges of their ids, each range a transaction of its own, so it shows progress, can be stopped
and run again, and ends in the same place whatever the table held before. Writers wait meanwhile; readers do not.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import IntegrityError

from lithair_sqla.errors import ReplayError
from lithair_sqla.model.fold import Folding, event_sourced_tables, folding
from lithair_sqla.model.pinning import pinned
from lithair_sqla.model.places import Place, engine_of
from lithair_sqla.model.rebuild_sql import clear_statement, remove_statement, sequence_statements, write_statement
from lithair_sqla.schema.guards import GUARD_TRIGGER, TRUNCATE_TRIGGER
from lithair_sqla.schema.names import literal, quote

__all__ = ["RebuildReport", "rebuild"]

STREAMS_A_BATCH: Final = 20_000


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
    where: Place,
    target: Any,
    *,
    progress: Callable[[int, int], None] | None = None,
    batch_streams: int = STREAMS_A_BATCH,
) -> list[RebuildReport]:
    """Make the tables of a class equal to what their log says.

    Args:
        where: an engine, or a connection or session of one; the rebuild has transactions of its own. Its role must own
            the library's objects, since the guard lets nobody else write unlogged, and the tables, whose other triggers
            are switched off for each transaction.
        target: an event-sourced class (all its tables, parents first) or table; a declarative base for all.
        progress: called with (streams done, streams in all) of a table after each batch.
        batch_streams: streams a transaction.

    Returns:
        One report a table.

    Raises:
        MappingError: the class or table is not event-sourced.
        ReplayError: rows of another table stand in the way: it says which, and what to do.
    """
    tables = []
    for table in event_sourced_tables(target):
        engine = engine_of(where, table)
        with engine.connect() as connection:
            tables.append((engine, folding(connection, table)))
    # What no stream knows goes first, children before parents: it could stand in the way of a unique constraint.
    removed = {fold.target: _change(engine, fold, remove_statement(fold)) for engine, fold in reversed(tables)}
    reports = []
    for engine, fold in tables:
        streams, written = _write(engine, fold, progress, batch_streams)
        _advance_sequences(engine, fold)
        reports.append(
            RebuildReport(table=fold.table.fullname, streams=streams, written=written, removed=removed[fold.target])
        )
    return reports


def _write(
    engine: Engine, fold: Folding, progress: Callable[[int, int], None] | None, batch_streams: int
) -> tuple[int, int]:
    # Rows that refer to rows of their own table must come in one statement, at whose end the reference is checked.
    refers_to_itself = any(key.column.table is fold.table for key in fold.table.foreign_keys)
    with engine.connect() as connection:
        bounds = _ranges(connection, fold, sys.maxsize if refers_to_itself else batch_streams)
    total = sum(count for _, _, count in bounds)
    done = written = 0
    for low, high, count in bounds:
        statement = write_statement(fold, low, high)
        try:
            written += _change(engine, fold, statement)
        except IntegrityError as error:
            if getattr(error.orig, "sqlstate", None) != "23505":
                raise
            # Rows have exchanged values that are unique: they must go before they can come back.
            _clear(engine, fold)
            written += _change(engine, fold, statement)
        done += count
        if progress is not None:
            progress(done, total)
    return total, written


def _clear(engine: Engine, fold: Folding) -> None:
    with engine.connect() as connection:
        referring = connection.execute(
            text(
                "SELECT string_agg(DISTINCT CAST(CAST(conrelid AS regclass) AS text), ', ') FROM pg_constraint "
                "WHERE confrelid = to_regclass(:target) AND contype = 'f'"
            ),
            {"target": fold.target},
        ).scalar()
    if referring is not None:
        raise ReplayError(
            f"rows of {fold.table.fullname} have exchanged unique values, so they must be deleted before they can be "
            f"written again, and rows of {referring} refer to them: drop that foreign key (or the unique constraint) "
            "for the time of the rebuild"
        )
    _change(engine, fold, clear_statement(fold))


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


def _change(engine: Engine, fold: Folding, statement: str) -> int:
    """Run one statement that writes rows the log already has; answers how many."""
    with _replaying(engine, fold) as connection, pinned(connection, fold.shape.columns):
        return connection.exec_driver_sql(statement.replace("%", "%%"), ()).rowcount


@contextmanager
def _replaying(engine: Engine, fold: Folding) -> Iterator[Connection]:
    """Open a transaction whose writes to the table are not logged again and fire no trigger of the user's."""
    target = literal(fold.target)
    with engine.begin() as connection:
        # A row that a writer changes between the fold and its own turn would be set back.
        _execute(connection, f"LOCK TABLE {fold.target} IN SHARE ROW EXCLUSIVE MODE")
        _execute(connection, f"SELECT {fold.names.object('begin_replay')}({target}::regclass)")
        triggers = connection.execute(
            text(_TRIGGERS), {"target": fold.target, "guard": GUARD_TRIGGER, "truncate": TRUNCATE_TRIGGER}
        ).all()
        for relation, name, _ in triggers:
            _execute(connection, f"ALTER TABLE {relation} DISABLE TRIGGER {quote(name)}")
        yield connection
        for relation, name, enabled in triggers:
            how = {"A": "ENABLE ALWAYS", "R": "ENABLE REPLICA"}.get(enabled, "ENABLE")
            _execute(connection, f"ALTER TABLE {relation} {how} TRIGGER {quote(name)}")
        _execute(connection, f"SELECT {fold.names.object('end_replay')}({target}::regclass)")


_TRIGGERS: Final = (
    "SELECT DISTINCT CAST(CAST(t.tgrelid AS regclass) AS text), t.tgname, CAST(t.tgenabled AS text) FROM pg_trigger t "
    "WHERE (t.tgrelid = to_regclass(:target) "
    "OR t.tgrelid IN (SELECT relid FROM pg_partition_tree(to_regclass(:target)))) "
    "AND t.tgparentid = 0 AND NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgname NOT IN (:guard, :truncate)"
)


def _execute(connection: Connection, statement: str) -> None:
    connection.exec_driver_sql(statement.replace("%", "%%"), ())


def _advance_sequences(engine: Engine, fold: Folding) -> None:
    """Let sequences go on behind the rows: a TRUNCATE … RESTART IDENTITY has set them back, say."""
    with engine.begin() as connection:
        for statement in sequence_statements(fold):
            _execute(connection, statement)
