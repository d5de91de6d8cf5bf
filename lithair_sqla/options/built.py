"""What is built, and what is designed but waits: one line an option, the only place that says so.

Every option of the design can be written down and is checked for type and bounds. One that waits is then refused with
``NotSupportedYet``, at any value but its default. Building it means changing its line here to ``YES`` (or naming the
values that are built), and docs/reference/options.md, which a test holds to this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lithair_sqla.errors import NotSupportedYet

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BUILT", "YES", "Status", "is_built", "later", "require_built"]


@dataclass(frozen=True, slots=True)
class Status:
    """Whether an option is built.

    Attributes:
        comes_with: what will bring the values that are missing; empty where all are built.
        values: those that are built already, beside the default.
    """

    comes_with: str = ""
    values: tuple[object, ...] = ()


YES: Final = Status()


def later(comes_with: str, *values: object) -> Status:
    """Say that an option waits for something, but for the named values."""
    return Status(comes_with, values)


_PACKED: Final = later("packed events")
_CACHE: Final = later("the cache")
_TIERS: Final = later("storage tiers")
_EVOLUTION: Final = later("event shapes that change")

BUILT: Mapping[str, Status] = {
    "Persistence.strategy": YES,
    "Persistence.name": YES,
    "Persistence.snapshot_frequency": YES,
    "Persistence.max_snapshots_per_aggregate": YES,
    "Persistence.created_event": YES,
    "Persistence.updated_event": YES,
    "Persistence.deleted_event": YES,
    "Persistence.events": YES,
    "Persistence.foreign_writes": YES,
    "Persistence.truncate": YES,
    "Persistence.capture": later("capture without triggers"),
    "Persistence.write_strategy": later("group commit"),
    "Persistence.read_preference": _CACHE,
    "Persistence.serialization": _PACKED,
    "Persistence.compression": _PACKED,
    "Persistence.compression_threshold": _PACKED,
    "Persistence.retention_days": later("retention"),
    "Persistence.subject": later("forgetting"),
    "Caching.strategy": _CACHE,
    "Caching.ttl_seconds": _CACHE,
    "Caching.max_size_mb": _CACHE,
    "Caching.eviction": _CACHE,
    "Storage.primary": _TIERS,
    "Storage.backup": _TIERS,
    "Storage.archive": _TIERS,
    "Storage.read_replicas": _TIERS,
    "Migration.version": _EVOLUTION,
    "Migration.from_version": _EVOLUTION,
    "Migration.strategy": _EVOLUTION,
    "persistence.event": YES,
    "persistence.indexed": YES,
    "persistence.bloom_filter": later("existence filters"),
    "persistence.encrypted": YES,
    "persistence.searchable": YES,
    "persistence.compressed": _PACKED,
    "persistence.versioned": later("retention"),
    "persistence.replicated": later("replicas"),
    "persistence.consistent_read": later("replicas"),
    "lifecycle.audited": later("the audit trail"),
    "index.type": YES,
    "index.unique": YES,
    "index.fields": YES,
    "index.optimize_for": YES,
    "index.language": YES,
    "index.precision": YES,
    "index.events": later("indexes on the log"),
    "caching.hot_data": _CACHE,
    "caching.pin_in_memory": _CACHE,
    "caching.searchable_index": _CACHE,
    "caching.computed_field": _CACHE,
    "caching.refresh_interval": _CACHE,
    "storage.tier": _TIERS,
    "storage.replicas": _TIERS,
    "storage.backup_sync": _TIERS,
    "storage.archive_after_days": _TIERS,
    "migration.default_value": _EVOLUTION,
    "migration.computed_from": _EVOLUTION,
    "migration.renamed_from": _EVOLUTION,
    "migration.deprecated": _EVOLUTION,
    "migration.hide_after": _EVOLUTION,
    "StorageConfig.schema": YES,
    "StorageConfig.prefix": YES,
    "StorageConfig.parts_schema": YES,
    "StorageConfig.partition_width": YES,
    "StorageConfig.partitions_ahead": YES,
    "StorageConfig.tenant_id": YES,
    "StorageConfig.node_id": YES,
    "StorageConfig.snapshot_frequency": YES,
    "StorageConfig.max_snapshots_per_aggregate": YES,
    "StorageConfig.snapshot_compression": _PACKED,
    "StorageConfig.compression_threshold": _PACKED,
    "StorageConfig.batch_size": later("group commit"),
    "StorageConfig.sync_mode": later("group commit"),
    "StorageConfig.memory_cache_size_mb": _CACHE,
    "StorageConfig.cache_eviction_policy": _CACHE,
    "StorageConfig.cache_write_strategy": _CACHE,
    "StorageConfig.index_bloom_filter_size": later("the index of position ranges"),
    "StorageConfig.index_update_batch_size": later("the index of position ranges"),
    "StorageConfig.full_text_index_enabled": YES,
    "StorageConfig.retention_policy": later("retention"),
    "StorageConfig.compaction_schedule": _TIERS,
}


def is_built(word: str) -> bool:
    """Tell whether any option of ``word`` (``"Caching"``, ``"persistence"``) is built."""
    rows = [status for option, status in BUILT.items() if option.partition(".")[0] == word]
    return any(not status.comes_with or status.values for status in rows)


def require_built(word: str, option: str, value: object) -> None:
    """Refuse a value that is not built; an option without a line in the table is not.

    Args:
        word: where the option belongs, as it is written: ``"Persistence"`` or ``"persistence"``.
        option: its name.
        value: one that is of the right type and not the default.

    Raises:
        NotSupportedYet: it waits.
    """
    status = BUILT.get(f"{word}.{option}", later("a later release"))
    if status.comes_with and value not in status.values:
        raise NotSupportedYet(
            f"{word}({option}={value!r}) is designed but not built yet: it comes with {status.comes_with}; leave it "
            "out until then"
        )
