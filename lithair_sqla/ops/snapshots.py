"""Take the snapshots that long streams of a table lack, stream by stream, while the application goes on writing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from sqlalchemy import Connection, Engine, text

from lithair_sqla.errors import StreamNotFoundError, WriteRefusedError
from lithair_sqla.ops.presence import store_names
from lithair_sqla.options import StorageConfig
from lithair_sqla.schema.names import Names

__all__ = ["SnapshotReport", "take_snapshots"]

_SHAPE: Final = """\
SELECT s.relation, s.schema_version, s.fingerprint FROM lithair.schemas s
 WHERE s.name = :name AND s.relation IS NOT NULL ORDER BY s.schema_version DESC LIMIT 1"""

_DUE: Final = """\
  FROM lithair.streams s
 WHERE s.tenant_id = :tenant AND s.name = :name AND s.status = 0
   AND s.version - coalesce(s.snapshot_version, 0) > :behind"""

# Locked in the order of keys, as appends do. A stream that moved on while it was waited for is left to the next run.
_TAKE: Final = f"""\
WITH due AS MATERIALIZED (
  SELECT s.id, s.key, s.version, s.first_position, s.snapshot_position
  {_DUE} AND (CAST(:after AS text) IS NULL OR s.key > :after) ORDER BY s.key LIMIT :most FOR NO KEY UPDATE
)
SELECT d.key, lithair.take_snapshot(d.id, d.version, e.position,
    lithair.state_at(d.id, d.first_position, d.snapshot_position, :fingerprint, e.position, '{{}}'),
    CAST(:schema_version AS smallint), :fingerprint, :keep)
  FROM due d CROSS JOIN LATERAL (
    SELECT e.position FROM lithair.events e
     WHERE e.stream_id = d.id AND e.version = d.version AND e.position >= d.first_position) e ORDER BY d.key"""


class SnapshotReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was done.

    Attributes:
        stream: the name.
        snapshots: streams that have a fresh snapshot now.
    """

    stream: str
    snapshots: int


def take_snapshots(
    engine: Engine,
    name: str,
    *,
    behind: int | None = None,
    config: StorageConfig | None = None,
    progress: Callable[[int, int], None] | None = None,
    batch_streams: int = 100,
) -> SnapshotReport:
    """Snapshot every stream of a name that has many events after its newest snapshot.

    Each batch is a transaction of its own: it can be stopped at any moment and run again.

    Args:
        engine: its role must own the library's objects.
        name: of the streams; a table writes them (what an application appends, only it can fold).
        behind: events after the newest snapshot from which on a stream is due; ``None`` is twice the configured
            ``snapshot_frequency``, which is where health speaks up.
        config: which store; ``None`` for the defaults.
        progress: called with (streams done, streams due) after each batch.
        batch_streams: streams a transaction.

    Raises:
        StreamNotFoundError: nothing was ever recorded under that name.
        WriteRefusedError: no table writes its streams.
    """
    config = config or StorageConfig()
    behind = 2 * config.snapshot_frequency if behind is None else behind
    with engine.connect() as connection:
        names = store_names(connection, config)
        parameters = _shape(connection, names, name, config) | {"behind": behind, "most": batch_streams}
        due: int = connection.execute(text(names.render(f"SELECT count(*) {_DUE}")), parameters).scalar_one()
    done, after = 0, None
    while done < due:
        with engine.begin() as connection:
            rows = connection.execute(text(names.render(_TAKE)), parameters | {"after": after}).all()
        if not rows:
            break
        done, after = done + len(rows), rows[-1].key
        if progress is not None:
            progress(done, due)
    return SnapshotReport(stream=name, snapshots=done)


def _shape(connection: Connection, names: Names, name: str, config: StorageConfig) -> dict[str, object]:
    row = connection.execute(text(names.render(_SHAPE)), {"name": name}).one_or_none()
    if row is None:
        known = connection.execute(
            text(names.render("SELECT count(*) FROM lithair.streams s WHERE s.tenant_id = :tenant AND s.name = :name")),
            {"tenant": config.tenant_id, "name": name},
        ).scalar_one()
        if known:
            raise WriteRefusedError(
                f"the streams of {name} belong to no table: the application that appends to them knows how they fold "
                "(EventStore.save_snapshot)"
            )
        raise StreamNotFoundError(f"no stream is called {name}: `lithair-storage streams` lists the names")
    return {
        "tenant": config.tenant_id,
        "name": name,
        "schema_version": row.schema_version,
        "fingerprint": row.fingerprint,
        "keep": config.max_snapshots_per_aggregate,
    }
