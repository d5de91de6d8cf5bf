"""The audit: does the log, replayed, equal the rows? One statement a table answers, and shows where it does not.

It folds from the first event, never from snapshots (one copied from a wrong row would hide what it should find); the
snapshots are then checked against the fold. Rows and log are seen in one snapshot of the database, so writers go on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Table

from lithair_sqla.model.fold import RECORD, Folding, event_sourced_tables, folding
from lithair_sqla.model.pinning import pinned
from lithair_sqla.model.places import Place, connected
from lithair_sqla.schema.check import Problem, check_guards
from lithair_sqla.schema.guard_body import key_expression, row_expression
from lithair_sqla.schema.names import literal

__all__ = ["AuditReport", "Difference", "audit"]

_MOST_SHOWN = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One place where rows and log disagree.

    Attributes:
        table: the table's name.
        key: the stream's key.
        problem: ``missing`` (the log has a row, the table has not), ``extra`` (the other way round), ``different``,
            ``versions`` (a stream's versions have gaps), or ``snapshot`` (a snapshot is not what its events make).
        columns: the columns that differ, each with the value in the row and the one in the log, as JSON.
    """

    table: str
    key: str
    problem: str
    columns: Mapping[str, tuple[Any, Any]]

    def __str__(self) -> str:
        """Read as ``product 42: different (price: row 3, log 4)``."""
        shown = ", ".join(f"{name}: row {row!r}, log {log!r}" for name, (row, log) in self.columns.items())
        return f"{self.table} {self.key}: {self.problem}" + (f" ({shown})" if shown else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """What an audit of one or more tables found.

    Attributes:
        tables: names of the tables audited.
        rows: rows in them.
        streams: live streams in the log.
        events: events folded.
        snapshots: snapshots checked.
        differences: the first hundred of each table's.
        found: how many there are in all.
        guards: tables whose guard is not as it should be: what they wrote lately may be missing.
    """

    tables: tuple[str, ...]
    rows: int
    streams: int
    events: int
    snapshots: int
    differences: tuple[Difference, ...]
    found: int
    guards: tuple[Problem, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether rows and log agree everywhere and every guard stands."""
        return self.found == 0 and not self.guards

    def __bool__(self) -> bool:
        """Be true when clean, so that ``assert audit(…)`` reads well."""
        return self.clean

    def __str__(self) -> str:
        """Say the verdict in a line, and each difference in a line of its own."""
        verdict = "clean" if self.clean else f"{self.found} differences"
        head = (
            f"audit of {', '.join(self.tables)}: {verdict} ({self.rows:,} rows, {self.streams:,} live streams, "
            f"{self.events:,} events, {self.snapshots:,} snapshots)"
        )
        lines = [str(problem.error) for problem in self.guards] + [str(difference) for difference in self.differences]
        return "\n  ".join([head, *lines])


def audit(where: Place, target: Any) -> AuditReport:
    """Replay every stream of a class or table and compare it with the rows.

    Args:
        where: an engine, or a connection or session; pending changes of a session are not flushed.
        target: an event-sourced class (all its tables are audited) or table; a declarative base for all of them.

    Raises:
        MappingError: the target is not event-sourced.
    """
    with connected(where) as connection:
        return _merge([_audit_table(connection, table) for table in event_sourced_tables(target)])


def _merge(reports: list[AuditReport]) -> AuditReport:
    return AuditReport(
        tables=tuple(name for report in reports for name in report.tables),
        rows=sum(report.rows for report in reports),
        streams=sum(report.streams for report in reports),
        events=sum(report.events for report in reports),
        snapshots=sum(report.snapshots for report in reports),
        differences=tuple(difference for report in reports for difference in report.differences),
        found=sum(report.found for report in reports),
        guards=tuple(problem for report in reports for problem in report.guards),
    )


def _audit_table(connection: Connection, table: Table) -> AuditReport:
    fold = folding(connection, table)
    with pinned(connection, fold.shape.columns):
        row = connection.exec_driver_sql(_rows_statement(fold).replace("%", "%%"), ()).one()
        snapshots = connection.exec_driver_sql(_snapshots_statement(fold).replace("%", "%%"), ()).one()
    return AuditReport(
        tables=(table.fullname,),
        rows=row.rows,
        streams=row.streams,
        events=row.events,
        snapshots=snapshots.checked,
        differences=(*_differences(table, row.shown), *_differences(table, snapshots.shown)),
        found=row.found + snapshots.found,
        guards=tuple(check_guards(connection, [table], fold.names)),
    )


def _differences(table: Table, shown: str | None) -> list[Difference]:
    found = json.loads(shown or "[]", parse_float=Decimal)
    return [
        Difference(
            table=table.fullname,
            key=item["key"],
            problem=item["problem"],
            columns=_differing(item["row"] or {}, item["log"] or {}, item["problem"]),
        )
        for item in found
    ]


def _differing(row: Mapping[str, Any], log: Mapping[str, Any], problem: str) -> dict[str, tuple[Any, Any]]:
    names = [*log, *(name for name in row if name not in log)]
    pairs = {name: (row.get(name), log.get(name)) for name in names}
    if problem in {"different", "snapshot"}:
        # By their text: 1.0 and 1.00 are not the same value of a column.
        return {name: pair for name, pair in pairs.items() if repr(pair[0]) != repr(pair[1])}
    return pairs


def _rows_statement(fold: Folding) -> str:
    shape = fold.shape
    # The record travels as one column, so that no name of the user's can meet one of ours.
    rows, log = fold.image("t"), fold.image("(r.record)", state="r.state")
    key, present = key_expression(shape.keys, "t"), "t.ctid IS NOT NULL"
    # EXCEPT, since an anti join with the fold becomes a nested loop where statistics are older than the streams.
    return fold.names.render(f"""\
WITH folded AS (
  SELECT f.stream_id, f.state, f.alive, f.version, f.events, s.version AS counted, s.status, s.key, {RECORD} AS record
    FROM ({fold.folded()}) f JOIN lithair.streams s ON s.id = f.stream_id, LATERAL {fold.record()}
), problems AS (
  SELECT CASE WHEN r.stream_id IS NULL THEN 'extra' WHEN {present} THEN 'different' ELSE 'missing' END AS problem,
      CASE WHEN {present} THEN {key} ELSE r.key END AS key,
      CASE WHEN {present} THEN {row_expression(shape, "t")} END AS "row", r.state AS log
    FROM {fold.target} t FULL JOIN (SELECT * FROM folded WHERE alive) r ON {fold.match("t", "(r.record)")}
   WHERE r.stream_id IS NULL OR NOT {present} OR record_image_ne({rows}, {log})
  UNION ALL
  SELECT 'versions', key, NULL,
      jsonb_build_object('events', events, 'last', version, 'stream', counted, 'status', status)
    FROM folded WHERE events <> version OR version <> counted OR (status < 2 AND alive <> (status = 0))
  UNION ALL
  SELECT 'versions', s.key, NULL, jsonb_build_object('events', 0, 'stream', s.version)
    FROM (SELECT s.id FROM lithair.streams s WHERE s.tenant_id = {shape.tenant_id} AND s.name = {fold.stream}
          EXCEPT SELECT stream_id FROM folded) f JOIN lithair.streams s ON s.id = f.id{_repeated(fold, key)}
)
SELECT (SELECT count(*) FROM {fold.target}) AS rows, (SELECT count(*) FROM folded WHERE alive) AS streams,
    (SELECT coalesce(sum(events), 0)::bigint FROM folded) AS events, (SELECT count(*) FROM problems) AS found,
    (SELECT jsonb_agg(to_jsonb(p)) FROM (SELECT * FROM problems LIMIT {_MOST_SHOWN}) p)::text AS shown""")


def _repeated(fold: Folding, key: str) -> str:
    """A table without a primary key may hold a row twice; the log knows it once."""
    if fold.table.primary_key.columns:
        return ""
    return f"""
  UNION ALL
  SELECT 'extra', {key}, jsonb_build_object('times', count(*)), NULL
    FROM {fold.target} t GROUP BY 2 HAVING count(*) > 1"""


def _snapshots_statement(fold: Folding) -> str:
    left_out = "".join(f" - {literal(column.name)}" for column in fold.shape.columns if column.perhaps_virtual)
    return fold.names.render(f"""\
WITH compared AS (
  SELECT s.key, n.state{left_out} AS "row", f.state{left_out} AS log
    FROM lithair.snapshots n JOIN lithair.streams s ON s.id = n.stream_id
    CROSS JOIN LATERAL (
      SELECT lithair.merge(e.data ORDER BY e.version) AS state FROM lithair.events e
       WHERE e.stream_id = n.stream_id AND e.version <= n.version
         AND e.position BETWEEN s.first_position AND n.position) f
   WHERE s.tenant_id = {fold.shape.tenant_id} AND s.name = {fold.stream} AND n.state IS NOT NULL
), problems AS (
  SELECT 'snapshot' AS problem, key, "row", log FROM compared WHERE "row"::text IS DISTINCT FROM log::text
)
SELECT (SELECT count(*) FROM compared) AS checked, (SELECT count(*) FROM problems) AS found,
    (SELECT jsonb_agg(to_jsonb(p)) FROM (SELECT * FROM problems LIMIT {_MOST_SHOWN}) p)::text AS shown""")
