"""What a store holds, in lists: names of streams, partitions of the log, recorded shapes of events."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, text

from lithair_sqla.options import StorageConfig
from lithair_sqla.schema.create import names_in

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
        name: with its schema.
        low: the first position it may hold.
        high: the first one it may not.
        events: by the database's statistics.
        size_bytes: with indexes.
        first_recorded_at: of its first event.
    """

    name: str
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
    names = names_in(connection, config)
    bound = {name: names.object(value) if name == "events" else value for name, value in parameters.items()}
    return list(connection.execute(text(names.render(statement)), bound))


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
    rows = _rows(
        connection,
        config,
        "SELECT format('%I.%I', n.nspname, c.relname), right(c.relname, 6)::bigint, "
        "coalesce(s.n_live_tup, 0), pg_total_relation_size(c.oid) FROM pg_inherits i "
        "JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
        "LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid WHERE i.inhparent = to_regclass(:events) ORDER BY 2",
        events="events",
    )
    found = []
    for name, number, events, size in rows:
        low, high = number * config.partition_width, (number + 1) * config.partition_width
        [first] = _rows(
            connection,
            config,
            "SELECT (SELECT e.recorded_at FROM lithair.events e WHERE e.position >= :low AND e.position < :high "
            "ORDER BY e.position LIMIT 1)",
            low=low,
            high=high,
        )
        found.append(
            PartitionInfo(name=name, low=low, high=high, events=events, size_bytes=size, first_recorded_at=first[0])
        )
    return found


def list_shapes(connection: Connection, *, config: StorageConfig | None = None) -> list[ShapeInfo]:
    """Return the recorded shapes by name and version, each beside the table as it stands."""
    rows = _rows(
        connection,
        config or StorageConfig(),
        "SELECT s.name, s.schema_version, s.relation, jsonb_array_length(s.columns), "
        "ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = to_regclass(s.relation) AND a.attnum > 0 "
        "AND NOT a.attisdropped AND a.attgenerated <> 'v' AND NOT EXISTS ("
        "SELECT FROM jsonb_array_elements(s.columns) c WHERE c.value->>'name' = a.attname) ORDER BY a.attnum), "
        "ARRAY(SELECT c.value->>'name' FROM jsonb_array_elements(s.columns) c WHERE s.relation IS NOT NULL "
        "AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = to_regclass(s.relation) AND NOT a.attisdropped "
        "AND a.attname = c.value->>'name')), "
        "s.schema_version = max(s.schema_version) OVER (PARTITION BY s.name) "
        "FROM lithair.schemas s ORDER BY s.name, s.schema_version",
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
