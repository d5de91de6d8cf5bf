"""What a health check looks for: one function a condition, each answering with the recommendations that it finds due.

All read the catalogs and the newest rows only, so that a check is cheap on a log of any size; conditions that cost a
scan belong to deep mode (see ``health``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, text

from lithair_sqla.ops.records import MaintenanceRecommendation
from lithair_sqla.schema.check import check_functions
from lithair_sqla.schema.guards import GUARD_TRIGGER
from lithair_sqla.schema.names import Names

__all__ = ["FINDINGS", "Looking"]


@dataclass(frozen=True, slots=True)
class Looking:
    """Where a condition is looked for, and from when on it counts.

    Attributes:
        connection: SELECT on the library's tables is enough.
        names: how the library's objects are called.
        horizon_seconds: a transaction that holds readers back for longer is worth a word.
        snapshot_bytes: a snapshot larger than that is.
    """

    connection: Connection
    names: Names
    horizon_seconds: float = 30.0
    snapshot_bytes: int = 1_000_000

    def rows(self, statement: str, **parameters: Any) -> list[Any]:
        """Run a statement written in the library's own names."""
        return list(self.connection.execute(text(self.names.render(statement)), parameters))


Finding = Callable[[Looking], Iterator[MaintenanceRecommendation]]


def functions_current(looking: Looking) -> Iterator[MaintenanceRecommendation]:
    """The library's functions are those of this version."""
    for problem in check_functions(looking.connection, looking.names):
        yield MaintenanceRecommendation(
            code=f"function-{problem.reason}",
            severity="error",
            message=str(problem.error.args[0]),
            action="alembic upgrade head",
        )


def partition_headroom(looking: Looking) -> Iterator[MaintenanceRecommendation]:
    """The log's next partitions are there."""
    config = looking.names.config
    [row] = looking.rows(
        "SELECT (SELECT last_value FROM lithair.position), (SELECT max(right(c.relname, 6)::bigint) FROM pg_inherits i "
        "JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = to_regclass(:events))",
        events=looking.names.object("events"),
    )
    last, highest = row
    current = last // config.partition_width
    ahead = -1 if highest is None else highest - current
    if ahead < config.partitions_ahead:
        what = (
            "no partition holds the next position"
            if ahead < 0
            else f"{ahead} partitions stand ahead of position {last:,}"
        )
        yield MaintenanceRecommendation(
            code="partition-headroom",
            severity="error" if ahead < 1 else "warning",
            message=f"{what}; {config.partitions_ahead} are wanted",
            action=f"SELECT {looking.names.object('extend_log')}()",
        )


def horizon_held(looking: Looking) -> Iterator[MaintenanceRecommendation]:
    """No transaction holds readers in order back for long, prepared ones included."""
    rows = looking.rows(
        "SELECT a.pid, extract(epoch FROM clock_timestamp() - a.xact_start)::float8, a.query, a.state FROM pg_locks l "
        "JOIN pg_stat_activity a ON a.pid = l.pid WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted "
        "AND (l.classid::bigint >> 16) = :namespace AND l.database = (SELECT oid FROM pg_database WHERE datname = "
        "current_database()) AND l.mode = 'ShareLock' AND a.pid <> pg_backend_pid() "
        "AND a.xact_start < clock_timestamp() - make_interval(secs => :seconds) ORDER BY a.xact_start",
        namespace=looking.names.namespace,
        seconds=looking.horizon_seconds,
    )
    for pid, seconds, query, state in rows:
        yield MaintenanceRecommendation(
            code="horizon-held",
            severity="warning",
            message=f"process {pid} ({state}) has held readers in order back for {seconds:,.0f} s: {query[:200]}",
            action=f"SELECT pg_terminate_backend({pid})",
        )
    rows = looking.rows(
        "SELECT p.gid, extract(epoch FROM clock_timestamp() - p.prepared)::float8 FROM pg_prepared_xacts p "
        "WHERE p.database = current_database() AND p.prepared < clock_timestamp() - make_interval(secs => :seconds) "
        "AND EXISTS (SELECT FROM pg_locks l WHERE l.pid IS NULL AND l.locktype = 'advisory' AND l.objsubid = 1 "
        "AND (l.classid::bigint >> 16) = :namespace AND l.virtualtransaction = '-1/' || p.transaction::text)",
        namespace=looking.names.namespace,
        seconds=looking.horizon_seconds,
    )
    for gid, seconds in rows:
        quoted = gid.replace("'", "''")
        yield MaintenanceRecommendation(
            code="horizon-held-prepared",
            severity="warning",
            message=f"prepared transaction {gid!r} has held readers in order back for {seconds:,.0f} s",
            action=f"COMMIT PREPARED '{quoted}' (or ROLLBACK PREPARED '{quoted}')",
        )


def guards_standing(looking: Looking) -> Iterator[MaintenanceRecommendation]:
    """Every table that ever wrote events has its guard, switched on."""
    rows = looking.rows(
        "SELECT DISTINCT s.relation, t.tgenabled::text FROM lithair.schemas s "
        "JOIN pg_class c ON c.oid = to_regclass(s.relation) LEFT JOIN pg_trigger t ON t.tgrelid = c.oid "
        "AND t.tgname = :guard "
        "WHERE s.relation IS NOT NULL AND t.tgenabled IS DISTINCT FROM 'A'",
        guard=GUARD_TRIGGER,
    )
    for relation, enabled in rows:
        state = "missing" if enabled is None else "switched off"
        quoted = f'ALTER TABLE {relation} ENABLE ALWAYS TRIGGER "{GUARD_TRIGGER}"'
        yield MaintenanceRecommendation(
            code="guard-missing" if enabled is None else "guard-disabled",
            severity="error",
            message=f"table {relation} writes past the log: its guard is {state}",
            action="alembic upgrade head" if enabled is None else quoted,
        )


def shapes_recorded(looking: Looking) -> Iterator[MaintenanceRecommendation]:
    """Every guarded table has the columns that its guard was made for."""
    rows = looking.rows(
        "SELECT s.name, s.relation, array_agg(a.attname::text ORDER BY a.attnum) FROM (SELECT DISTINCT ON (name) * "
        "FROM lithair.schemas WHERE relation IS NOT NULL ORDER BY name, schema_version DESC) s "
        "JOIN pg_attribute a ON a.attrelid = to_regclass(s.relation) AND a.attnum > 0 AND NOT a.attisdropped "
        "AND a.attgenerated <> 'v' WHERE NOT EXISTS (SELECT FROM jsonb_array_elements(s.columns) c "
        "WHERE c.value->>'name' = a.attname) GROUP BY s.name, s.relation"
    )
    for name, relation, columns in rows:
        yield MaintenanceRecommendation(
            code="shape-unrecorded",
            severity="warning",
            message=f"table {relation} has columns that the guard of {name} does not know: {', '.join(columns)}",
            action="alembic revision --autogenerate, then alembic upgrade head",
        )


def snapshots_sound(looking: Looking) -> Iterator[MaintenanceRecommendation]:
    """No snapshot is very large."""
    [row] = looking.rows(
        "SELECT count(*), max(size_bytes) FROM lithair.snapshots WHERE size_bytes > :bytes",
        bytes=looking.snapshot_bytes,
    )
    if row[0]:
        yield MaintenanceRecommendation(
            code="snapshots-oversized",
            severity="advice",
            message=f"{row[0]:,} snapshots are over {looking.snapshot_bytes:,} bytes, the largest {row[1]:,}",
            action="Persistence(snapshot_frequency=…) on the class: fewer snapshots, or a narrower table",
        )


def snapshots_fresh(looking: Looking) -> Iterator[MaintenanceRecommendation]:
    """Long streams have snapshots near their newest version."""
    frequency = looking.names.config.snapshot_frequency
    if not frequency:
        return
    rows = looking.rows(
        "SELECT s.name, count(*) FROM lithair.streams s WHERE s.version - coalesce(s.snapshot_version, 0) > :most "
        "AND s.status = 0 GROUP BY s.name ORDER BY 2 DESC",
        most=2 * frequency,
    )
    for name, count in rows:
        yield MaintenanceRecommendation(
            code="snapshots-stale",
            severity="advice",
            message=f"{count:,} streams of {name} have more than {2 * frequency:,} events after their newest snapshot",
            action=f"lithair-storage snapshot --stream {name}",
        )


def indexes_present(looking: Looking) -> Iterator[MaintenanceRecommendation]:
    """Every partition of the log has its key, its unique versions and its times."""
    rows = looking.rows(
        "SELECT format('%I.%I', n.nspname, c.relname), "
        "count(x.indexrelid) FILTER (WHERE x.indisprimary AND x.indisvalid), count(x.indexrelid) FILTER "
        "(WHERE x.indisunique AND NOT x.indisprimary AND x.indisvalid), "
        "count(x.indexrelid) FILTER (WHERE am.amname = 'brin' AND x.indisvalid) FROM pg_inherits i "
        "JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
        "LEFT JOIN pg_index x ON x.indrelid = c.oid LEFT JOIN pg_class xc ON xc.oid = x.indexrelid "
        "LEFT JOIN pg_am am ON am.oid = xc.relam WHERE i.inhparent = to_regclass(:events) GROUP BY 1",
        events=looking.names.object("events"),
    )
    for leaf, primary, unique, times in rows:
        for there, what, how in (
            (primary, "primary key", f"ALTER TABLE {leaf} ADD PRIMARY KEY (position)"),
            (unique, "unique versions", f"ALTER TABLE {leaf} ADD UNIQUE (stream_id, version)"),
            (times, "index of times", f"CREATE INDEX ON {leaf} USING brin (recorded_at)"),
        ):
            if not there:
                yield MaintenanceRecommendation(
                    code="index-missing", severity="error", message=f"partition {leaf} has lost its {what}", action=how
                )


def little_bloat(looking: Looking) -> Iterator[MaintenanceRecommendation]:
    """Dead rows are vacuumed away."""
    rows = looking.rows(
        "SELECT format('%I.%I', schemaname, relname), n_dead_tup, n_live_tup FROM pg_stat_all_tables "
        "WHERE relid IN (SELECT to_regclass(t) FROM unnest(CAST(:tables AS text[])) t) "
        "AND n_dead_tup > 10000 AND n_dead_tup > n_live_tup",
        tables=[looking.names.object(name) for name in ("streams", "snapshots", "idempotency")],
    )
    for table, dead, live in rows:
        yield MaintenanceRecommendation(
            code="bloat",
            severity="warning",
            message=f"{table} has {dead:,} dead rows beside {live:,} live ones: autovacuum does not keep up",
            action=f"VACUUM (ANALYZE) {table}",
        )


def keys_expired(looking: Looking) -> Iterator[MaintenanceRecommendation]:
    """Idempotency keys go when they have expired."""
    [row] = looking.rows("SELECT count(*) FROM lithair.idempotency WHERE expires_at < clock_timestamp()")
    if row[0] > 1000:  # noqa: PLR2004 - fewer are not worth a word
        table = looking.names.object("idempotency")
        yield MaintenanceRecommendation(
            code="idempotency-expired",
            severity="advice",
            message=f"{row[0]:,} idempotency keys have expired",
            action=f"DELETE FROM {table} WHERE expires_at < now()",
        )


def sequence_ahead(looking: Looking) -> Iterator[MaintenanceRecommendation]:
    """The sequence of positions is past every event: a logical upgrade does not carry sequences along."""
    [row] = looking.rows("SELECT (SELECT last_value FROM lithair.position), (SELECT max(position) FROM lithair.events)")
    if row[1] is not None and row[1] > row[0]:
        sequence = looking.names.object("position").replace("'", "''")
        yield MaintenanceRecommendation(
            code="sequence-behind",
            severity="error",
            message=f"the next position would be {row[0] + 1:,}, though the log reaches {row[1]:,}",
            action=f"SELECT setval('{sequence}', {row[1]})",
        )


FINDINGS: Final[tuple[Finding, ...]] = (
    functions_current,
    sequence_ahead,
    partition_headroom,
    guards_standing,
    indexes_present,
    horizon_held,
    shapes_recorded,
    little_bloat,
    snapshots_fresh,
    snapshots_sound,
    keys_expired,
)
"""Every condition, most urgent first."""
