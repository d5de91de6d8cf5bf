"""Is the log itself in order? Its sequence, its partitions with their indexes, its readers."""

from __future__ import annotations

from collections.abc import Iterator

from lithair_sqla.ops.findings.looking import Looking
from lithair_sqla.ops.records import MaintenanceRecommendation

__all__ = ["horizon_held", "indexes_present", "partition_headroom", "sequence_ahead"]


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


def partition_headroom(looking: Looking) -> Iterator[MaintenanceRecommendation]:
    """The log's next partitions are there."""
    wanted = looking.names.config.partitions_ahead
    [row] = looking.leaves(
        "SELECT p.last_value + 1 AS next, count(*) FILTER (WHERE l.low > p.last_value + 1) AS ahead, "
        "count(*) FILTER (WHERE l.low <= p.last_value + 1 AND l.high > p.last_value + 1) AS here "
        "FROM lithair.position p LEFT JOIN ({leaves}) l ON true GROUP BY p.last_value"
    )
    if not row.here or row.ahead < wanted:
        yield MaintenanceRecommendation(
            code="partition-headroom",
            severity="warning" if row.here and row.ahead else "error",
            message=f"{row.ahead} partitions stand ahead of position {row.next:,}, {wanted} are wanted"
            if row.here
            else f"no partition holds position {row.next:,}, which comes next",
            action=f"SELECT {looking.names.object('extend_log')}()",
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
            (
                times,
                "index of times",
                f"CREATE INDEX ON {leaf} USING brin (recorded_at, transaction_id, position) WITH (autosummarize)",
            ),
        ):
            if not there:
                yield MaintenanceRecommendation(
                    code="index-missing", severity="error", message=f"partition {leaf} has lost its {what}", action=how
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
            message=f"process {pid} ({state}) has held readers in order back for {seconds:,.0f} s: "
            f"{' '.join(query.split())[:200]}",
            action=f"SELECT pg_terminate_backend({pid})",
        )
    rows = looking.rows(
        "SELECT p.gid, extract(epoch FROM clock_timestamp() - p.prepared)::float8 FROM pg_prepared_xacts p "
        "WHERE p.database = current_database() AND p.prepared < clock_timestamp() - make_interval(secs => :seconds) "
        "AND EXISTS (SELECT FROM pg_locks l JOIN pg_locks x ON x.virtualtransaction = l.virtualtransaction "
        "WHERE l.pid IS NULL AND l.locktype = 'advisory' AND l.objsubid = 1 AND (l.classid::bigint >> 16) = :namespace "
        "AND x.pid IS NULL AND x.locktype = 'transactionid' AND x.transactionid = p.transaction)",
        namespace=looking.names.namespace,
        seconds=looking.horizon_seconds,
    )
    for gid, seconds in rows:
        quoted = gid.replace("'", "''")
        yield MaintenanceRecommendation(
            code="horizon-held-prepared",
            severity="warning",
            message=f"prepared transaction {gid!r} has held readers in order back for {seconds:,.0f} s: end it, or "
            "roll it back",
            action=f"COMMIT PREPARED '{quoted}'",
        )
