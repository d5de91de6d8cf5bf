"""What a store holds, in lists: names of streams, partitions of the log, recorded shapes of events."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, text

from lithair_sqla.ops.presence import LEAVES, RELATION_NAME, store_names
from lithair_sqla.options import StorageConfig

__all__ = ["PartitionInfo", "ShapeInfo", "StreamSummary", "list_partitions", "list_shapes", "list_streams"]


class StreamSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The streams of one name.

    Attributes:
        name: theirs.
        streams: how many.
        open: those whose row is there.
        events: in all of them, by their versions.
        relation: the table that writes them; ``None`` where the application appends.
    """

    name: str
    streams: int
    open: int
    events: int
    relation: str | None


class PartitionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A partition of the log.

    Attributes:
        name: of its table.
        schema: that it stands in.
        low: the first position it may hold.
        high: the first one it may not.
        events: by the database's statistics.
        size_bytes: with indexes.
        first_recorded_at: of its first event.
    """

    name: str
    schema: str
    low: int
    high: int
    events: int
    size_bytes: int
    first_recorded_at: datetime | None


class ShapeInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A recorded shape of a stream name's events.

    Attributes:
        name: the stream name.
        schema_version: of the shape.
        relation: the table.
        columns: how many.
        unrecorded: columns that the table has and the shape has not.
        vanished: the other way round.
        is_newest: no newer shape of the name is recorded.
    """

    name: str
    schema_version: int
    relation: str | None
    columns: int
    unrecorded: tuple[str, ...]
    vanished: tuple[str, ...]
    is_newest: bool


def _rows(connection: Connection, config: StorageConfig, statement: str, **parameters: Any) -> list[Any]:
    return list(connection.execute(text(store_names(connection, config).render(statement)), parameters))


def list_streams(connection: Connection, *, config: StorageConfig | None = None) -> list[StreamSummary]:
    """Return the names of streams, in alphabetical order."""
    config = config or StorageConfig()
    rows = _rows(
        connection,
        config,
        "SELECT s.name, count(*), count(*) FILTER (WHERE s.status = 0), sum(s.version)::bigint, "
        "(SELECT max(c.relation) FROM lithair.schemas c WHERE c.name = s.name) FROM lithair.streams s "
        "WHERE s.tenant_id = :tenant "
        "GROUP BY s.name ORDER BY s.name",
        tenant=config.tenant_id,
    )
    return [StreamSummary(name=row[0], streams=row[1], open=row[2], events=row[3], relation=row[4]) for row in rows]


def list_partitions(connection: Connection, *, config: StorageConfig | None = None) -> list[PartitionInfo]:
    """Return the log's partitions in the order of their positions."""
    config = config or StorageConfig()
    names = store_names(connection, config)
    leaves = connection.exec_driver_sql(
        "SELECT l.schema, l.name, l.low, l.high, coalesce(s.n_live_tup, 0) AS events, "
        f"pg_total_relation_size(l.oid) AS size FROM ({LEAVES}) l LEFT JOIN pg_stat_all_tables s ON s.relid = l.oid "
        "ORDER BY l.low",
        {"events": names.object("events")},
    ).all()
    first = text(
        names.render(
            "SELECT min(e.recorded_at) FROM (SELECT e.recorded_at FROM lithair.events e "
            "WHERE e.position >= :low AND e.position < :high ORDER BY e.position LIMIT 1) e"
        )
    )
    return [
        PartitionInfo(
            name=leaf.name,
            schema=leaf.schema,
            low=leaf.low,
            high=leaf.high,
            events=leaf.events,
            size_bytes=leaf.size,
            first_recorded_at=connection.execute(first, {"low": leaf.low, "high": leaf.high}).scalar_one(),
        )
        for leaf in leaves
    ]


def list_shapes(connection: Connection, *, config: StorageConfig | None = None) -> list[ShapeInfo]:
    """Return the recorded shapes by name and version, each beside the table as it stands."""
    rows = _rows(
        connection,
        config or StorageConfig(),
        "SELECT s.name, s.schema_version, s.relation, jsonb_array_length(s.columns), "
        "ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = t.oid AND a.attnum > 0 "
        "AND NOT a.attisdropped AND a.attgenerated <> 'v' AND NOT EXISTS ("
        "SELECT FROM jsonb_array_elements(s.columns) c WHERE c.value->>'name' = a.attname) ORDER BY a.attnum), "
        "ARRAY(SELECT c.value->>'name' FROM jsonb_array_elements(s.columns) c WHERE s.relation IS NOT NULL "
        "AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = t.oid AND NOT a.attisdropped "
        "AND a.attname = c.value->>'name')), "
        "s.schema_version = max(s.schema_version) OVER (PARTITION BY s.name) "
        "FROM lithair.schemas s LEFT JOIN (SELECT c.oid, " + RELATION_NAME + " AS name FROM pg_class c "
        "JOIN pg_namespace n ON n.oid = c.relnamespace) t ON t.name = s.relation ORDER BY s.name, s.schema_version",
    )
    return [
        ShapeInfo(
            name=row[0],
            schema_version=row[1],
            relation=row[2],
            columns=row[3],
            unrecorded=tuple(row[4]),
            vanished=tuple(row[5]),
            is_newest=row[6],
        )
        for row in rows
    ]
