"""Take in what was there before: one baseline event for each row that has no stream, while the application writes on.

The guard comes first, so that nothing is missed from then on. Then rows are taken by key, in batches that lock what
nobody else holds and pass over the rest: no writer of theirs waits for longer than a batch, and none can deadlock with
one. What was passed over is looked for at the end, when its writer may have given it its baseline (the guard does,
before the first update), and waited for one row at a time.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Engine, Table, text
from sqlalchemy.exc import OperationalError

from lithair_sqla.context import current_context
from lithair_sqla.errors import SchemaMissingError
from lithair_sqla.model.fold import Folding, event_sourced_tables, folding
from lithair_sqla.model.pinning import pinned
from lithair_sqla.model.places import Place, engine_of
from lithair_sqla.schema.create import exists, install_guard, lock
from lithair_sqla.schema.guard_body import key_expression, row_expression
from lithair_sqla.schema.names import literal
from lithair_sqla.schema.tables import LibraryTables

__all__ = ["AdoptReport", "adopt"]

ROWS_A_BATCH: Final = 10_000
_LOCK_NOT_AVAILABLE: Final = "55P03"
_LOCK_TIMEOUT: Final = "2s"
_LOCK_TRIES: Final = 60
_COUNT_BELOW: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptReport:
    """What an adoption did.

    Attributes:
        table: the table's name.
        rows: rows looked at.
        baselines: rows that had no stream, and have one now.
    """

    table: str
    rows: int
    baselines: int


def adopt(
    where: Place,
    target: Any,
    *,
    progress: Callable[[int, int], None] | None = None,
    batch_rows: int = ROWS_A_BATCH,
) -> list[AdoptReport]:
    """Install the guard of a class's tables and write a baseline for every row without a stream.

    It can be stopped at any moment, killed even, and run again: it goes on where it was. Two at once share the work.
    The actor of the baselines is that of ``context(user_id=…)``.

    Args:
        where: an engine, or a connection or session of one; each batch is a transaction of its own. Its role must own
            the library's objects and the table.
        target: an event-sourced (or enrolled) class or table; a declarative base for all.
        progress: called with (rows done, rows in all, by the planner's estimate or better) after each batch.
        batch_rows: rows a transaction.

    Returns:
        One report a table.

    Raises:
        MappingError: the class or table is not event-sourced.
        SchemaMissingError: the library's tables are not there: run ``create_all`` or the migration first.
        OperationalError: the table could not be locked for its guard, which is tried again and again for minutes.
    """
    return [
        _adopt_table(engine_of(where, table), table, progress, max(1, batch_rows))
        for table in event_sourced_tables(target)
    ]


def _adopt_table(
    engine: Engine, table: Table, progress: Callable[[int, int], None] | None, batch_rows: int
) -> AdoptReport:
    engine = engine.execution_options(isolation_level="READ COMMITTED")
    _install(engine, table)
    with engine.connect() as connection:
        fold = folding(connection, table)
        total = _count(connection, fold)
    work = _Work(engine, fold, batch_rows)
    # A key that may be null has no place in an order by which one could go on.
    step = work.leftovers if any(key.nullable for key in fold.shape.keys) else work.next_by_key
    rows = baselines = 0
    while True:
        found = step()
        if found is None:
            if step == work.leftovers:
                break
            step = work.leftovers
            continue
        rows += found[0]
        baselines += found[1]
        if progress is not None:
            progress(rows, max(rows, total))
    return AdoptReport(table=table.fullname, rows=rows, baselines=baselines)


def _install(engine: Engine, table: Table) -> None:
    """Make the guard without holding up writers: whoever waits for the table's lock makes all who come later wait."""
    for tries_left in reversed(range(_LOCK_TRIES)):
        try:
            with engine.begin() as connection:
                library = LibraryTables.of(table.metadata)
                names = folding(connection, table).names
                if not all(exists(connection, own, names) for own in library.all):
                    raise SchemaMissingError(
                        "the library's tables are not in this database: run `alembic upgrade head`, or "
                        "lithair_sqla.create_all(engine, Base), before adopting"
                    )
                lock(connection, names)
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
                install_guard(connection, table, names)
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE or tries_left == 0:
                raise
            time.sleep(0.5)
        else:
            return


def _count(connection: Connection, fold: Folding) -> int:
    """Return how many rows there are, by the planner's estimate where there are many."""
    estimate: int = connection.execute(
        text(
            "SELECT coalesce(sum(greatest(reltuples, 0)), 0)::bigint FROM pg_class WHERE oid = to_regclass(:target) "
            "OR oid IN (SELECT relid FROM pg_partition_tree(to_regclass(:target)) WHERE isleaf)"
        ),
        {"target": fold.target},
    ).scalar_one()
    if estimate >= _COUNT_BELOW:
        return estimate
    counted: int = connection.exec_driver_sql(_escaped(f"SELECT count(*) FROM {fold.target}"), ()).scalar_one()
    return counted


@dataclass(frozen=True, slots=True)
class _Work:
    """The batches of one table, each a transaction of its own."""

    engine: Engine
    fold: Folding
    batch_rows: int

    def next_by_key(self) -> tuple[int, int] | None:
        """Adopt the next rows by key; ``None`` where there are none left, and the cursor is put back to the start."""
        name = {"name": f"adopt:{self.fold.target}"}
        checkpoints = self.fold.names.object("checkpoints")
        with self.engine.begin() as connection:
            connection.execute(
                text(f"INSERT INTO {checkpoints} (name) VALUES (:name) ON CONFLICT (name) DO NOTHING"), name
            )
            cursor = connection.execute(
                text(f'SELECT "cursor"::text FROM {checkpoints} WHERE name = :name FOR UPDATE'), name
            ).scalar_one()
            row = self._run(connection, _by_key(self.fold, resumes=cursor is not None), cursor, self.batch_rows)
            connection.execute(
                text(
                    f'UPDATE {checkpoints} SET "cursor" = CAST(:cursor AS jsonb), updated_at = clock_timestamp() '
                    "WHERE name = :name"
                ),
                {**name, "cursor": row.next},
            )
        return None if row.rows == 0 else (row.rows, row.baselines)

    def leftovers(self) -> tuple[int, int] | None:
        """Adopt rows without a stream that nobody holds, else one that somebody does; ``None`` where there is none."""
        for wait, rows in ((False, self.batch_rows), (True, 1)):
            with self.engine.begin() as connection:
                row = self._run(connection, _without_stream(self.fold, wait=wait), None, rows)
            if row.rows:
                return row.rows, row.baselines
        return None

    def _run(self, connection: Connection, source: str, cursor: str | None, rows: int) -> Any:
        names = self.fold.names
        position, extend = names.object("position"), names.object("extend_log")
        connection.exec_driver_sql(_escaped(f"SELECT {extend}(p_through => last_value + {rows}) FROM {position}"), ())
        begin = _escaped(f"SELECT {names.object('begin_batch')}()")
        values = {
            "cursor": cursor,
            "size": rows,
            "transaction": connection.exec_driver_sql(begin, ()).scalar_one(),
            "actor": current_context().user_id,
            "correlation": current_context().correlation_id,
        }
        with pinned(connection, self.fold.shape.columns):
            return connection.exec_driver_sql(_escaped(_batch_statement(self.fold, source)), values).one()


def _escaped(statement: str) -> str:
    """Write a statement for the driver. Names may hold any per cent sign: until here our parameters stand in NULs."""
    return re.sub("\0(\\w+)\0", r"%(\1)s", statement.replace("%", "%%"))


def _by_key(fold: Folding, *, resumes: bool) -> str:
    """Write the rows of a batch: from the table's start, or from the cursor on (an index range either way)."""
    order = _order(fold)
    after = ", ".join(f"c.{key.quoted}" for key in fold.shape.keys)
    cursor = f"jsonb_populate_record(NULL::{fold.target}, \0cursor\0::jsonb) c"
    where = f"WHERE ({order}) > (SELECT {after} FROM {cursor}) " if resumes else ""
    return f"{where}ORDER BY {order} LIMIT \0size\0 FOR NO KEY UPDATE OF t SKIP LOCKED"


def _without_stream(fold: Folding, *, wait: bool) -> str:
    """Write the rows that have no stream yet, wherever they stand."""
    return (
        f"WHERE NOT EXISTS ({_stream(fold, key_expression(fold.shape.keys, 't'))}) LIMIT \0size\0 "
        f"FOR NO KEY UPDATE OF t{'' if wait else ' SKIP LOCKED'}"
    )


def _stream(fold: Folding, key: str) -> str:
    return (
        f"SELECT FROM lithair.streams s WHERE s.tenant_id = {fold.shape.tenant_id} AND s.name = {fold.stream} "
        f"AND s.key = {key} AND s.status <> 1"
    )


def _order(fold: Folding) -> str:
    return ", ".join(f"t.{key.quoted}" for key in fold.shape.keys)


def _batch_statement(fold: Folding, source: str) -> str:
    """Write the statement of one batch, which locks its rows, opens their streams and writes their baselines."""
    keys, shape = fold.shape.keys, fold.shape
    newest = ", ".join(f"t.{key.quoted} DESC" for key in keys)
    node = "NULL::int" if shape.node_id is None else str(shape.node_id)
    return fold.names.render(f"""\
WITH batch AS MATERIALIZED (
  SELECT t.* FROM {fold.target} t {source}
), keyed AS MATERIALIZED (
  SELECT DISTINCT ON (k.key) k.key, {row_expression(shape, "t")} AS data
    FROM batch t CROSS JOIN LATERAL (SELECT {key_expression(keys, "t")} AS key) k
   WHERE NOT EXISTS ({_stream(fold, "k.key")})
), opened AS (
  INSERT INTO lithair.streams AS s (tenant_id, name, key, version, first_position)
  SELECT {shape.tenant_id}, {fold.stream}, k.key, 1, \0transaction\0 FROM keyed k ORDER BY k.key COLLATE "C"
  ON CONFLICT (tenant_id, name, key) DO UPDATE SET version = s.version + 1, status = 0 WHERE s.status = 1
  RETURNING s.id, s.key, s.version
), written AS (
  INSERT INTO lithair.events (position, stream_id, version, transaction_id, recorded_at, tenant_id, node_id,
      schema_version, kind, type, correlation_id, actor, data)
  SELECT nextval('lithair.position'::regclass), o.id, o.version, \0transaction\0, clock_timestamp(),
      {shape.tenant_id}, {node}, {shape.schema_version}::smallint, 'b', {literal(shape.stream + "Baseline")},
      \0correlation\0, coalesce(\0actor\0, session_user), k.data
    FROM opened o JOIN keyed k ON k.key = o.key
  RETURNING 1
)
SELECT (SELECT count(*) FROM batch) AS rows, (SELECT count(*) FROM written) AS baselines,
    (SELECT to_jsonb(l)::text FROM (SELECT {_order(fold)} FROM batch t ORDER BY {newest} LIMIT 1) l) AS next""")
