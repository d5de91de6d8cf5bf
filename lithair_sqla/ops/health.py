"""How a store does: the seed's ``health_check()``, cheap by default, thorough where asked."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, MetaData, text
from sqlalchemy.exc import InternalError, ProgrammingError

from lithair_sqla.errors import OrderedReadError
from lithair_sqla.model.audit import audit
from lithair_sqla.model.places import Place, connected
from lithair_sqla.ops.findings import FINDINGS, Looking
from lithair_sqla.ops.presence import store_names
from lithair_sqla.ops.records import MaintenanceRecommendation, PerformanceMetrics, StorageHealthReport
from lithair_sqla.options import StorageConfig
from lithair_sqla.schema.names import Names
from lithair_sqla.store import EventStore
from lithair_sqla.types import NewEvent, StreamId

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["health_check"]

_PROBES: Final = 5
_MAY_NOT_WRITE: Final = frozenset({"42501", "25006"})  # no right to; a transaction or server that only reads
_PROBE_STREAM: Final = StreamId("lithair.probe", "health")

_SIZES: Final = """\
SELECT coalesce(sum(greatest(s.n_live_tup, 0)) FILTER (WHERE t.is_leaf), 0)::bigint,
    coalesce(sum(pg_total_relation_size(t.oid)), 0)::bigint
  FROM (
    SELECT i.inhrelid AS oid, true AS is_leaf FROM pg_inherits i WHERE i.inhparent = to_regclass(:events)
    UNION ALL
    SELECT to_regclass(name), false FROM unnest(CAST(:others AS text[])) name) t
  LEFT JOIN pg_stat_all_tables s ON s.relid = t.oid"""

# Cheap: the newest events only. Whatever contradicts itself there is corruption.
_RECENT: Final = """\
SELECT count(*) FROM (SELECT * FROM lithair.events WHERE position > (SELECT last_value - 10000 FROM lithair.position)) e
  LEFT JOIN lithair.streams s ON s.id = e.stream_id
 WHERE s.id IS NULL OR e.version > s.version OR e.position < s.first_position OR e.transaction_id > e.position"""

_ALL: Final = """\
SELECT count(*) FROM lithair.streams s FULL JOIN (
    SELECT e.stream_id, count(*) AS events, max(e.version) AS version, min(e.position) AS first,
        bool_or(e.disorder) AS disorder
      FROM (SELECT stream_id, version, position, transaction_id > position
                OR position <= lag(position) OVER (PARTITION BY stream_id ORDER BY version) AS disorder
              FROM lithair.events) e
     GROUP BY e.stream_id) e ON e.stream_id = s.id
 WHERE s.id IS NULL OR e.stream_id IS NULL OR e.events <> e.version OR e.version <> s.version
    OR e.first < s.first_position OR e.disorder"""

_SNAPSHOTS: Final = """\
SELECT count(*) FROM (SELECT * FROM lithair.snapshots ORDER BY created_at DESC LIMIT :most) n
 WHERE NOT EXISTS (SELECT FROM lithair.events e
   WHERE e.stream_id = n.stream_id AND e.version = n.version AND e.position = n.position)"""

_SPEED: Final = """\
SELECT (count(*) - 1) / nullif(extract(epoch FROM max(recorded_at) - min(recorded_at)), 0)::float8
  FROM (SELECT recorded_at FROM lithair.events ORDER BY position DESC LIMIT 1000) e"""


def health_check(
    where: Place,
    *,
    deep: bool = False,
    metadata: MetaData | None = None,
    config: StorageConfig | None = None,
    horizon_seconds: float = 30.0,
    snapshot_bytes: int = 1_000_000,
) -> StorageHealthReport:
    """Say how a store does and what to do about it.

    Nothing is written: the latency of writing is that of a few probe appends which are rolled back (they use up a
    position each). SELECT on the library's tables is enough; what a role may not do is left out, not guessed.

    Args:
        where: an engine, or a connection or session in a transaction of its own.
        deep: count and fold everything instead of reading catalogs and the newest rows.
        metadata: the models', so that deep mode can audit their tables.
        config: which store; ``None`` takes the metadata's, else the defaults.
        horizon_seconds: report transactions that hold readers in order back for longer.
        snapshot_bytes: report snapshots that are larger.

    Raises:
        SchemaMissingError: the library's tables are not there.
    """
    with connected(where) as connection:
        config = config or _config_of(metadata)
        names = store_names(connection, config)
        looking = Looking(connection, names, horizon_seconds, snapshot_bytes)
        recommendations = [found for finding in FINDINGS for found in finding(looking)]
        total, size = _totals(connection, names, deep=deep)
        corruption = bool(_count(connection, names, _ALL if deep else _RECENT))
        snapshots = not _count(connection, names, _SNAPSHOTS, most=1_000_000_000 if deep else 1000)
        if deep and metadata is not None:
            report = audit(connection, metadata)
            snapshots = snapshots and not any(item.problem == "snapshot" for item in report.differences)
            corruption = corruption or any(item.problem == "versions" for item in report.differences)
            recommendations.extend(_drift(report))
        return StorageHealthReport(
            total_events=total,
            total_size_bytes=size,
            corruption_detected=corruption or any(item.code == "sequence-behind" for item in recommendations),
            index_consistency=all(item.code != "index-missing" for item in recommendations),
            snapshot_validity=snapshots,
            performance_metrics=_performance(connection, names, config, broken=_broken(recommendations)),
            recommendations=tuple(sorted(recommendations, key=_urgency)),
            deep=deep,
        )


def _drift(report: Any) -> Iterator[MaintenanceRecommendation]:
    """Rows and log that disagree, a word for each table."""
    for table in dict.fromkeys(item.table for item in report.differences if item.problem in _DRIFT):
        count = sum(item.table == table and item.problem in _DRIFT for item in report.differences)
        yield MaintenanceRecommendation(
            code="drift",
            severity="error",
            message=f"{count:,} or more rows of {table} are not what their events make (`lithair-storage audit` shows "
            "which): where the log is right,",
            action=f"lithair-storage rebuild --table {table}",
        )


_DRIFT: Final = frozenset({"missing", "extra", "different"})
_SEVERITIES: Final = ("error", "warning", "advice")


def _urgency(item: MaintenanceRecommendation) -> int:
    return _SEVERITIES.index(item.severity)


def _config_of(metadata: MetaData | None) -> StorageConfig:
    from lithair_sqla.schema.tables import METADATA_KEY, LibraryTables  # noqa: PLC0415 - only with a metadata

    found = metadata.info.get(METADATA_KEY) if metadata is not None else None
    return found.config if isinstance(found, LibraryTables) else StorageConfig()


def _totals(connection: Connection, names: Names, *, deep: bool) -> tuple[int, int]:
    others = [names.object(name) for name in ("streams", "snapshots", "schemas", "idempotency", "checkpoints")]
    total, size = connection.execute(text(_SIZES), {"events": names.object("events"), "others": others}).one()
    if deep:
        total = connection.execute(text(names.render("SELECT count(*) FROM lithair.events"))).scalar_one()
    return total, size


def _count(connection: Connection, names: Names, statement: str, **parameters: int) -> int:
    found: int = connection.execute(text(names.render(statement)), parameters).scalar_one()
    return found


def _broken(recommendations: list[MaintenanceRecommendation]) -> bool:
    """Tell whether the store cannot be expected to append: then it is not tried."""
    return any(item.code in {"function-missing", "sequence-behind"} for item in recommendations)


def _performance(connection: Connection, names: Names, config: StorageConfig, *, broken: bool) -> PerformanceMetrics:
    store = EventStore(connection, config=config)
    last: int = connection.execute(text(names.render("SELECT last_value FROM lithair.position"))).scalar_one()
    started = perf_counter()
    for _ in range(_PROBES):
        store.streams(_PROBE_STREAM.name, limit=1)
    read = (perf_counter() - started) / _PROBES * 1000
    try:
        horizon = last if broken else store.horizon()
    except OrderedReadError:  # a standby or a snapshot transaction: order cannot be told from here
        horizon = last
    return PerformanceMetrics(
        avg_write_latency_ms=None if broken else _write_latency(connection, store),
        avg_read_latency_ms=read,
        horizon_lag_positions=max(0, last - horizon),
        events_per_second=connection.execute(text(names.render(_SPEED))).scalar_one(),
    )


def _write_latency(connection: Connection, store: EventStore) -> float | None:
    """Time a few appends, each rolled back."""
    spent = 0.0
    for _ in range(_PROBES):
        savepoint = connection.begin_nested()
        started = perf_counter()
        try:
            store.append(_PROBE_STREAM, NewEvent("Probed"))
        except (ProgrammingError, InternalError) as error:
            if getattr(error.orig, "sqlstate", None) in _MAY_NOT_WRITE:
                return None
            raise
        finally:
            spent += perf_counter() - started
            savepoint.rollback()
    return spent / _PROBES * 1000
