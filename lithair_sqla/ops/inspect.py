"""Look at one stream: how many events, how large, which snapshots, is it whole."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, text

from lithair_sqla.errors import StreamNotFoundError
from lithair_sqla.ops.presence import store_names
from lithair_sqla.ops.records import AggregateReport, SnapshotInfo
from lithair_sqla.options import StorageConfig
from lithair_sqla.schema.names import Names
from lithair_sqla.store import EventStore
from lithair_sqla.types import StreamId, StreamInfo, StreamStatus

__all__ = ["find_streams", "inspect_stream"]

_SIZES: Final = """\
SELECT count(*), coalesce(sum(pg_column_size(e.*)), 0)::bigint FROM lithair.events e
 WHERE e.stream_id = :stream AND e.position >= :first"""

_SNAPSHOTS: Final = """\
SELECT n.version, n.position, n.size_bytes, n.created_at FROM lithair.snapshots n
 WHERE n.stream_id = :stream ORDER BY n.version DESC"""

# Each row is one sentence about something that contradicts something else.
_INTEGRITY: Final = """\
WITH events AS (
  SELECT e.version, e.position, e.transaction_id, lag(e.position) OVER w AS before,
      lag(e.version) OVER w AS version_before
    FROM lithair.events e WHERE e.stream_id = :stream AND e.position >= :first WINDOW w AS (ORDER BY e.version)
), states AS (
  SELECT n.version, n.position, n.state, (
      SELECT lithair.merge(e.data ORDER BY e.version) FROM lithair.events e
       WHERE e.stream_id = n.stream_id AND e.version <= n.version
         AND e.position BETWEEN :first AND n.position) AS folded
    FROM lithair.snapshots n WHERE n.stream_id = :stream AND n.state IS NOT NULL
)
SELECT format('version %s is missing', coalesce(version_before, 0) + 1) FROM events
 WHERE version <> coalesce(version_before, 0) + 1
UNION ALL
SELECT format('version %s at position %s comes before its predecessor at %s', version, position, before) FROM events
 WHERE position <= before
UNION ALL
SELECT format('version %s at position %s is of transaction %s, which began later', version, position, transaction_id)
  FROM events WHERE transaction_id > position
UNION ALL
SELECT format('the stream counts %s events, its newest is version %s', :version, max(version)) FROM events
 HAVING max(version) IS DISTINCT FROM :version
UNION ALL
SELECT format('the snapshot at version %s is not what its events make', version) FROM states
 WHERE state::text IS DISTINCT FROM folded::text"""


def find_streams(
    connection: Connection, key: str, *, name: str | None = None, config: StorageConfig | None = None
) -> list[StreamId]:
    """Return the streams that have a key, of any name or of one.

    Args:
        connection: on the store's database.
        key: the aggregate's id as the database writes it.
        name: the stream's name; ``None`` for any.
        config: which store; ``None`` for the defaults.
    """
    config = config or StorageConfig()
    rows = connection.execute(
        text(
            store_names(connection, config).render(
                "SELECT s.name FROM lithair.streams s WHERE s.tenant_id = :tenant AND s.key = :key "
                "AND (CAST(:name AS text) IS NULL OR s.name = :name) ORDER BY s.name"
            )
        ),
        {"tenant": config.tenant_id, "key": key, "name": name},
    )
    return [StreamId(row[0], key, config.tenant_id) for row in rows]


def inspect_stream(
    connection: Connection, stream: StreamId, *, verify: bool = False, config: StorageConfig | None = None
) -> AggregateReport:
    """Say what a stream holds.

    Args:
        connection: on the store's database; SELECT on the library's tables is enough.
        stream: which.
        verify: check versions, positions and snapshots too.
        config: which store; ``None`` for the defaults.

    Raises:
        StreamNotFoundError: there is no such stream.
    """
    config = config or StorageConfig()
    names = store_names(connection, config)
    store = EventStore(connection, config=config)
    info = store.stream(stream)
    if info is None:
        raise StreamNotFoundError(f"stream {stream} does not exist: `lithair-storage streams` lists those that do")
    stream_key = _internal_id(connection, names, stream)
    parameters = {"stream": stream_key, "first": info.first_position, "version": info.version}
    events, size = connection.execute(text(names.render(_SIZES)), parameters).one()
    newest = store.read_stream(stream, from_version=info.version)
    return AggregateReport(
        stream=stream,
        status=StreamStatus(info.status).name.lower(),
        events=events,
        size_bytes=size,
        version=info.version,
        snapshots=tuple(
            SnapshotInfo(version=row[0], position=row[1], size_bytes=row[2], created_at=row[3])
            for row in connection.execute(text(names.render(_SNAPSHOTS)), parameters)
        ),
        last_event=newest[-1] if newest else None,
        integrity=_integrity(connection, names, parameters, info) if verify else None,
    )


def _internal_id(connection: Connection, names: Names, stream: StreamId) -> int:
    found: int = connection.execute(
        text(
            names.render(
                "SELECT s.id FROM lithair.streams s WHERE s.tenant_id = :tenant AND s.name = :name AND s.key = :key"
            )
        ),
        {"tenant": stream.tenant, "name": stream.name, "key": stream.key},
    ).scalar_one()
    return found


def _integrity(connection: Connection, names: Names, parameters: dict[str, int], info: StreamInfo) -> tuple[str, ...]:
    rows = connection.execute(text(names.render(_INTEGRITY)), parameters | {"version": info.version})
    return tuple(row[0] for row in rows)
