"""What wants tidying now and then: dead rows, snapshots, expired keys."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from lithair_sqla.ops.findings.looking import Looking
from lithair_sqla.ops.records import MaintenanceRecommendation

__all__ = ["keys_expired", "little_bloat", "snapshots_fresh", "snapshots_sound"]


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


def snapshots_fresh(looking: Looking) -> Iterator[MaintenanceRecommendation]:
    """Long streams have snapshots near their newest version."""
    frequency = looking.names.config.snapshot_frequency
    if not frequency:
        return
    rows = looking.rows(
        "SELECT s.name, count(*), EXISTS (SELECT FROM lithair.schemas c WHERE c.name = s.name "
        "AND c.relation IS NOT NULL) FROM lithair.streams s WHERE s.tenant_id = :tenant AND s.status = 0 "
        "AND s.version - coalesce(s.snapshot_version, 0) > :most GROUP BY s.name ORDER BY 2 DESC, 1",
        tenant=looking.names.config.tenant_id,
        most=2 * frequency,
    )
    for name, count, of_a_table in rows:
        yield MaintenanceRecommendation(
            code="snapshots-stale",
            severity="advice",
            message=f"{count:,} streams of {name} have more than {2 * frequency:,} events after their newest snapshot",
            action=f"lithair-storage snapshot --stream {shlex.quote(name)}"
            if of_a_table
            else "EventStore.save_snapshot(…), by the application that folds them",
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
            action="Persistence(snapshot_frequency=0) on the class, or a narrower table, then DELETE FROM "
            f"{looking.names.object('snapshots')} WHERE size_bytes > {looking.snapshot_bytes}",
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
