"""The library's tables, as SQLAlchemy tables of the user's own metadata.

``LibraryTables.of(metadata)`` adds them once to a ``MetaData``; ``create_all`` and Alembic then see them beside the
user's. The log's partitions are not here: functions make them, in a schema of their own (see ``sql/add_leaf.sql``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    DateTime,
    Identity,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Sequence,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID
from sqlalchemy.schema import conv
from sqlalchemy.types import UserDefinedType

from lithair_sqla.options import StorageConfig
from lithair_sqla.schema.indexes import enable_full_text

__all__ = ["METADATA_KEY", "InternalChar", "LibraryTables"]

METADATA_KEY: Final = "lithair"
"""Where a ``MetaData`` keeps its ``LibraryTables``: ``metadata.info[METADATA_KEY]``."""

_NOW = text("clock_timestamp()")


class InternalChar(UserDefinedType[str]):
    """PostgreSQL's one-byte ``"char"``."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Spell it with its quotes, without which it would be ``character(1)``."""
        return '"char"'


def _text() -> Text:
    return Text(collation="C")


def _instant(name: str, **keywords: Any) -> Column[Any]:
    return Column(name, DateTime(timezone=True), nullable=False, server_default=_NOW, **keywords)


@dataclass(frozen=True, slots=True, eq=False)
class LibraryTables:
    """The tables of one store, joined to one ``MetaData``."""

    metadata: MetaData
    config: StorageConfig
    position: Sequence
    streams: Table
    events: Table
    snapshots: Table
    schemas: Table
    idempotency: Table
    checkpoints: Table

    @property
    def all(self) -> tuple[Table, ...]:
        """Every table, in an order in which they can be made."""
        return self.streams, self.events, self.snapshots, self.schemas, self.idempotency, self.checkpoints

    @classmethod
    def of(cls, metadata: MetaData, config: StorageConfig | None = None) -> LibraryTables:
        """Return the library's tables in ``metadata``, adding them at the first call.

        Args:
            metadata: the user's metadata; its default schema is the tables' where the configuration names none.
            config: names and bounds; ``None`` takes what is there, else the defaults.

        Raises:
            OptionError: the tables are there already under another configuration.
        """
        if config is not None and config.schema is None and metadata.schema is not None:
            config = config.replace(schema=metadata.schema)
        known = metadata.info.get(METADATA_KEY)
        if isinstance(known, cls):
            if config is not None and config != known.config:
                for table in known.all:
                    metadata.remove(table)
            else:
                return known
        made = _define(metadata, config or StorageConfig(schema=metadata.schema))
        metadata.info[METADATA_KEY] = made
        enable_full_text(metadata, enabled=made.config.full_text_index_enabled is not False)
        return made


def _define(metadata: MetaData, config: StorageConfig) -> LibraryTables:
    prefix, schema = config.prefix, config.schema

    def table(name: str, *items: Any, **keywords: Any) -> Table:
        return Table(f"{prefix}{name}", metadata, *items, schema=schema, info={"lithair.library": True}, **keywords)

    # Left out of the metadata's own list: made with the functions that draw from it.
    position = Sequence(f"{prefix}position", schema=schema, data_type=BigInteger, cache=1)
    streams = table(
        "streams",
        Column("id", BigInteger, Identity(always=False), nullable=False),
        Column("tenant_id", Integer, nullable=False, server_default=text("0")),
        Column("status", SmallInteger, nullable=False, server_default=text("0")),
        Column("name", _text(), nullable=False),
        Column("key", _text(), nullable=False),
        Column("version", BigInteger, nullable=False),
        Column("first_position", BigInteger, nullable=False),
        Column("snapshot_version", BigInteger),
        Column("snapshot_position", BigInteger),
        PrimaryKeyConstraint("id", name=conv(f"{prefix}streams_pk")),
        UniqueConstraint("tenant_id", "name", "key", name=conv(f"{prefix}streams_identity")),
        postgresql_with={"fillfactor": 75, "autovacuum_vacuum_scale_factor": 0.05},
        comment="one row an aggregate: its identity, its version and its lock",
    )
    events = table(
        "events",
        Column("position", BigInteger, nullable=False),
        Column("stream_id", BigInteger, nullable=False),
        Column("version", BigInteger, nullable=False),
        Column("transaction_id", BigInteger, nullable=False),
        _instant("recorded_at"),
        Column("checksum", BigInteger),
        Column("tenant_id", Integer, nullable=False, server_default=text("0")),
        Column("node_id", Integer),
        Column("schema_version", SmallInteger, nullable=False, server_default=text("1")),
        Column("kind", InternalChar(), nullable=False),
        Column("event_id", UUID),
        Column("correlation_id", UUID),
        Column("causation_id", UUID),
        Column("type", _text(), nullable=False),
        Column("actor", Text),
        Column("data", JSONB),
        Column("payload", JSONB),
        Column("meta", JSONB),
        Column("body", LargeBinary),
        postgresql_partition_by="RANGE (position)",
        comment="the log: one row an event, partitioned by position",
    )
    snapshots = table(
        "snapshots",
        Column("stream_id", BigInteger, nullable=False),
        Column("version", BigInteger, nullable=False),
        Column("position", BigInteger, nullable=False),
        _instant("created_at"),
        Column("size_bytes", Integer, nullable=False),
        Column("schema_version", SmallInteger, nullable=False, server_default=text("1")),
        Column("fingerprint", Text),
        Column("state", JSONB),
        Column("body", LargeBinary),
        PrimaryKeyConstraint("stream_id", "version", name=conv(f"{prefix}snapshots_pk")),
        comment="the folded state of a stream at a version",
    )
    schemas = table(
        "schemas",
        Column("name", _text(), nullable=False),
        Column("schema_version", SmallInteger, nullable=False),
        Column("relation", Text),
        Column("row_lock", Text),
        Column("fingerprint", Text, nullable=False),
        Column("columns", JSONB, nullable=False),
        _instant("created_at"),
        PrimaryKeyConstraint("name", "schema_version", name=conv(f"{prefix}schemas_pk")),
        comment="the shape of a stream name's events at a schema version",
    )
    idempotency = table(
        "idempotency",
        Column("tenant_id", Integer, nullable=False, server_default=text("0")),
        Column("key", _text(), nullable=False),
        Column("digest", Text),
        Column("positions", ARRAY(BigInteger), nullable=False),
        Column("versions", ARRAY(BigInteger), nullable=False),
        _instant("created_at"),
        Column("expires_at", DateTime(timezone=True), nullable=False),
        PrimaryKeyConstraint("tenant_id", "key", name=conv(f"{prefix}idempotency_pk")),
        comment="keys that callers gave, and the events that they became",
    )
    checkpoints = table(
        "checkpoints",
        Column("name", _text(), nullable=False),
        Column("position", BigInteger),
        Column("cursor", JSONB),
        Column("holder", BigInteger),
        _instant("updated_at"),
        PrimaryKeyConstraint("name", name=conv(f"{prefix}checkpoints_pk")),
        comment="how far a reader or a long task got",
    )
    return LibraryTables(metadata, config, position, streams, events, snapshots, schemas, idempotency, checkpoints)
