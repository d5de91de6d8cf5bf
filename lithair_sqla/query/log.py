"""The log as tables of SQLAlchemy Core, and a field of its events as an expression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    DateTime,
    Integer,
    MetaData,
    Table,
    Text,
    case,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID
from sqlalchemy.sql.selectable import Join

from lithair_sqla.options import StorageConfig
from lithair_sqla.schema.create import names_in

__all__ = ["FACTS", "LogTables"]

FACTS: Final = ("key", "stream", "type", "actor", "version", "correlation_id", "causation_id")
"""Fields that every event has beside its payload and data."""


@dataclass(frozen=True, slots=True)
class LogTables:
    """The tables of events and of streams in one database."""

    events: Table
    streams: Table

    @classmethod
    def of(cls, connection: Connection, config: StorageConfig) -> LogTables:
        """Return them as they are called where a connection is."""
        names = names_in(connection, config)
        metadata = MetaData()
        events = Table(
            f"{config.prefix}events", metadata,
            Column("position", BigInteger), Column("stream_id", BigInteger), Column("version", BigInteger),
            Column("tenant_id", Integer), Column("recorded_at", DateTime(timezone=True)), Column("type", Text),
            Column("actor", Text), Column("correlation_id", UUID), Column("causation_id", UUID),
            Column("data", JSONB), Column("payload", JSONB), schema=names.schema,
        )  # fmt: skip
        streams = Table(
            f"{config.prefix}streams", metadata,
            Column("id", BigInteger), Column("name", Text), Column("key", Text), schema=names.schema,
        )  # fmt: skip
        return cls(events, streams)

    @property
    def joined(self) -> Join:
        """Events with their streams."""
        return self.events.join(self.streams, self.streams.c.id == self.events.c.stream_id)

    def value(self, field: str) -> ColumnElement[Any]:
        """Write a field of an event as JSON."""
        events, streams = self.events, self.streams
        if field in FACTS:
            found = {"key": streams.c.key, "stream": streams.c.name}.get(field)
            return func.to_jsonb(events.c[field] if found is None else found, type_=JSONB)
        place, _, inner = field.partition(".")
        if inner and place in {"payload", "data"}:
            inside: ColumnElement[Any] = events.c[place][inner]
            return inside
        candidates: list[Any] = [events.c.payload[field], events.c.data[field]]
        if field.endswith("_id"):
            owner = field.removesuffix("_id").replace("_", "")
            candidates.append(case((func.lower(streams.c.name) == owner, func.to_jsonb(streams.c.key))))
        return func.coalesce(*candidates, type_=JSONB)
