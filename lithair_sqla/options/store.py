"""Options of a whole store: the seed's ``StorageConfig``, with the names and sizes that a PostgreSQL needs beside.

The seed's words for values (``SyncMode.Periodic(…)``, ``CompressionAlg.ZSTD`` …) stand here too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, ClassVar

from msgspec import Meta

from lithair_sqla.errors import OptionError
from lithair_sqla.options.records import OptionRecord, option_record
from lithair_sqla.options.values import Bytes, Count, Prefix, SchemaName

__all__ = [
    "CompactionSchedule",
    "CompressionAlg",
    "EvictionPolicy",
    "RetentionPolicy",
    "StorageConfig",
    "SyncMode",
    "WriteStrategy",
]


class CompressionAlg(StrEnum):
    """How bytes are compressed."""

    ZSTD = "zstd"


class EvictionPolicy(StrEnum):
    """Which entry of a cache makes room: the one not used for longest, least often, or put in first."""

    LRU = "lru"
    LFU = "lfu"
    FIFO = "fifo"


class WriteStrategy(StrEnum):
    """When a cache is written: with the row, before it, or only by reads."""

    WRITE_THROUGH = "write_through"
    WRITE_BACK = "write_back"
    WRITE_AROUND = "write_around"


class CompactionSchedule(StrEnum):
    """How often the log is compacted."""

    DAILY = "daily"


class SyncMode:
    """When writes are forced to disk."""

    @dataclass(frozen=True, slots=True)
    class Periodic:
        """Together, at an interval: ``SyncMode.Periodic(timedelta(milliseconds=10))``."""

        interval: timedelta

        def __post_init__(self) -> None:
            """Refuse an interval that is none."""
            if type(self.interval) is not timedelta or self.interval <= timedelta(0):
                raise OptionError(
                    f"SyncMode.Periodic(interval=…) must be a timedelta above zero, not {self.interval!r}"
                )


class RetentionPolicy:
    """How long events are kept."""

    @dataclass(frozen=True, slots=True)
    class TimeBasedDays:
        """So many days: ``RetentionPolicy.TimeBasedDays(365)``."""

        days: int

        def __post_init__(self) -> None:
            """Refuse less than a day."""
            if type(self.days) is not int or self.days < 1:
                raise OptionError(
                    f"RetentionPolicy.TimeBasedDays(days=…) must be a whole number from 1, not {self.days!r}"
                )


@option_record
@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class StorageConfig(OptionRecord):
    """What holds for a store as a whole; a class's ``Persistence`` goes before it where both speak.

    Attributes:
        schema: PostgreSQL schema of the library's tables; ``None`` is the first of the search path.
        prefix: begins the name of each of them.
        parts_schema: schema of the log's partitions, out of sight; ``None`` is named after schema and prefix
            (``lithair_parts``).
        partition_width: positions in a partition of the log.
        partitions_ahead: partitions kept ready for what is to come.
        tenant_id: whose streams these are; 0 where there are no tenants.
        node_id: which program writes, recorded with each event.
        snapshot_frequency: versions from one snapshot of a stream to the next; 0 takes none.
        max_snapshots_per_aggregate: how many snapshots of a stream are kept, the newest.
        snapshot_compression: how snapshots are compressed.
        compression_threshold: bytes from which on an event is packed.
        batch_size: how many events one append takes at most.
        sync_mode: when writes are forced to disk.
        memory_cache_size_mb: memory that all caches may take.
        cache_eviction_policy: which entry makes room.
        cache_write_strategy: when caches are written.
        index_bloom_filter_size: bits of the filter over a range of positions.
        index_update_batch_size: events after which the index of ranges is brought up to date.
        full_text_index_enabled: whether ``index("full_text")`` makes its index.
        retention_policy: how long events are kept.
        compaction_schedule: how often the log is compacted.
    """

    _word: ClassVar[str] = "StorageConfig"

    schema: SchemaName | None = None
    prefix: Prefix = "lithair_"
    parts_schema: SchemaName | None = None
    partition_width: Annotated[int, Meta(ge=1_000, le=1_000_000_000)] = 20_000_000
    partitions_ahead: Annotated[int, Meta(ge=1, le=100)] = 3
    tenant_id: Annotated[int, Meta(ge=0, le=2_147_483_647)] = 0
    node_id: Annotated[int, Meta(ge=0, le=2_147_483_647)] | None = None
    snapshot_frequency: Count = 10_000
    max_snapshots_per_aggregate: Annotated[int, Meta(ge=1, le=1_000_000)] = 5
    snapshot_compression: CompressionAlg | None = None
    compression_threshold: Bytes | None = None
    batch_size: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    sync_mode: SyncMode.Periodic | None = None
    memory_cache_size_mb: Annotated[int, Meta(ge=1, le=1_048_576)] | None = None
    cache_eviction_policy: EvictionPolicy | None = None
    cache_write_strategy: WriteStrategy | None = None
    index_bloom_filter_size: Annotated[int, Meta(ge=1, le=1_000_000_000)] | None = None
    index_update_batch_size: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    full_text_index_enabled: bool | None = None
    retention_policy: RetentionPolicy.TimeBasedDays | None = None
    compaction_schedule: CompactionSchedule | None = None

    def _check(self) -> None:
        if self.parts_schema is not None and self.parts_schema == self.schema:
            raise OptionError(
                f"StorageConfig(schema={self.schema!r}, parts_schema={self.parts_schema!r}) contradict each other: "
                "partitions stand in a schema of their own, where nothing that lists your tables sees them"
            )
