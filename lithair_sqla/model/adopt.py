"""Take in what was there before: baselines for the rows of a table, and classes that one cannot edit.

``adopt`` installs the guard and then writes one baseline event for each row that has no stream yet, set-based, in
batches by key, while the application goes on writing: whoever comes first, the guard (which writes a baseline before
the first update) or the batch, takes the row's lock and the stream, and the other finds it done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Table, inspect, text
from sqlalchemy.orm import Mapper

from lithair_sqla.errors import MappingError, OptionError
from lithair_sqla.model.declarative import declare, declare_table
from lithair_sqla.model.fold import Folding, event_sourced_tables, folding
from lithair_sqla.model.places import Place, engine_of
from lithair_sqla.options import ModelOptions, Persistence
from lithair_sqla.schema.create import install_guard, lock
from lithair_sqla.schema.guard_body import key_expression, row_expression
from lithair_sqla.schema.names import literal

__all__ = ["AdoptReport", "adopt", "enrol"]

ROWS_A_BATCH = 10_000


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


def enrol(
    target: Any,
    persistence: Persistence | None = None,
    *,
    columns: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Do for a class or table that cannot be edited what the mixin does for one that can.

    Args:
        target: a mapped class (its mapped subclasses come along) or a table without a class.
        persistence: the class-level options.
        columns: column options by name, such as ``{"price": persistence(event="PriceUpdated")}``.

    Raises:
        MappingError: the class is not mapped, or is event-sourced already.
        OptionError: an option is wrong, or names a column that is not there.
    """
    options = ModelOptions(persistence=persistence or Persistence())
    if isinstance(target, Table):
        declare_table(target, options.persistence, columns=columns or {})
        return
    mapper: Mapper[Any] | None = inspect(target, raiseerr=False)
    if mapper is None:
        name = getattr(target, "__name__", target)
        raise MappingError(f"{name} is not a mapped class: only mapped classes and tables can be enrolled")
    if mapper.inherits is not None and mapper.inherits.local_table is mapper.local_table:
        raise OptionError(
            f"{target.__name__} shares the table of {mapper.inherits.class_.__name__}: enrol that class, and its "
            "subclasses come along"
        )
    for descendant in mapper.self_and_descendants:
        own = options if descendant is mapper else ModelOptions(persistence=options.persistence.replace(name=None))
        declare(descendant, own, columns=columns if descendant is mapper else None)


def adopt(
    where: Place,
    target: Any,
    *,
    progress: Callable[[int, int], None] | None = None,
    batch_rows: int = ROWS_A_BATCH,
) -> list[AdoptReport]:
    """Install the guard of a class's tables and write a baseline for every row without a stream.

    It can be stopped at any moment and run again: it goes on where it was.

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
    """
    reports = []
    for table in event_sourced_tables(target):
        engine = engine_of(where, table)
        reports.append(_adopt_table(engine, table, progress, batch_rows))
    return reports


def _adopt_table(
    engine: Engine, table: Table, progress: Callable[[int, int], None] | None, batch_rows: int
) -> AdoptReport:
    with engine.begin() as connection:
        fold = folding(connection, table)
        lock(connection, fold.names)
        install_guard(connection, table, fold.names)
        total = connection.exec_driver_sql(f"SELECT count(*) FROM {fold.target}".replace("%", "%%"), ()).scalar_one()
    rows = baselines = 0
    while True:
        with engine.begin() as connection:
            found = _batch(connection, fold, batch_rows)
        if found is None:
            break
        rows += found[0]
        baselines += found[1]
        if progress is not None:
            progress(rows, max(rows, total))
    return AdoptReport(table=table.fullname, rows=rows, baselines=baselines)


def _batch(connection: Connection, fold: Folding, batch_rows: int) -> tuple[int, int] | None:
    """Adopt the next rows by key; ``None`` where there are none left, and the cursor is put back to the start."""
    name = f"adopt:{fold.target}"
    checkpoints = fold.names.object("checkpoints")
    connection.execute(
        text(f"INSERT INTO {checkpoints} (name) VALUES (:name) ON CONFLICT (name) DO NOTHING"), {"name": name}
    )
    cursor = connection.execute(
        text(f'SELECT "cursor"::text FROM {checkpoints} WHERE name = :name FOR UPDATE'), {"name": name}
    ).scalar_one()
    transaction = connection.exec_driver_sql(f"SELECT {fold.names.object('begin_batch')}()").scalar_one()
    statement = _batch_statement(fold, resumes=cursor is not None).replace("%", "%%").replace("%%(", "%(")
    row = connection.exec_driver_sql(
        statement, {"cursor": cursor, "size": batch_rows, "transaction": transaction}
    ).one()
    connection.execute(
        text(
            f'UPDATE {checkpoints} SET "cursor" = CAST(:cursor AS jsonb), updated_at = clock_timestamp() '
            "WHERE name = :name"
        ),
        {"name": name, "cursor": row.next},
    )
    return None if row.rows == 0 else (row.rows, row.baselines)


def _batch_statement(fold: Folding, *, resumes: bool) -> str:
    """Write the statement of one batch: from the table's start, or from the cursor on (an index range either way)."""
    keys = fold.shape.keys
    order = ", ".join(f"t.{key.quoted}" for key in keys)
    newest = ", ".join(f"t.{key.quoted} DESC" for key in keys)
    after = ", ".join(f"c.{key.quoted}" for key in keys)
    cursor = f"jsonb_populate_record(NULL::{fold.target}, %(cursor)s::jsonb) c"
    where = f"WHERE ({order}) > (SELECT {after} FROM {cursor}) " if resumes else ""
    shape = fold.shape
    node = "NULL::int" if shape.node_id is None else str(shape.node_id)
    return fold.names.render(f"""\
WITH batch AS MATERIALIZED (
  SELECT t.* FROM {fold.target} t
   {where}ORDER BY {order} LIMIT %(size)s FOR NO KEY UPDATE OF t
), keyed AS MATERIALIZED (
  SELECT {key_expression(keys, "t")} AS key, {row_expression(shape, "t")} AS data FROM batch t
), opened AS (
  INSERT INTO lithair.streams AS s (tenant_id, name, key, version, first_position)
  SELECT {shape.tenant_id}, {fold.stream}, k.key, 1, %(transaction)s FROM keyed k ORDER BY k.key COLLATE "C"
  ON CONFLICT (tenant_id, name, key) DO UPDATE SET version = s.version + 1, status = 0 WHERE s.status = 1
  RETURNING s.id, s.key, s.version
), written AS (
  INSERT INTO lithair.events (position, stream_id, version, transaction_id, recorded_at, tenant_id, node_id,
      schema_version, kind, type, actor, data)
  SELECT nextval('lithair.position'::regclass), o.id, o.version, %(transaction)s, clock_timestamp(),
      {shape.tenant_id}, {node}, {shape.schema_version}::smallint, 'b', {literal(shape.stream + "Baseline")},
      session_user, k.data
    FROM opened o JOIN keyed k ON k.key = o.key
  RETURNING 1
)
SELECT (SELECT count(*) FROM batch) AS rows, (SELECT count(*) FROM written) AS baselines,
    (SELECT to_jsonb(l)::text FROM (SELECT {order} FROM batch t ORDER BY {newest} LIMIT 1) l) AS next""")
