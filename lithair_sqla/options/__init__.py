"""The declarative options, in the seed's words: on a class, on a column, on a whole store.

Written by users: ``Persistence`` and its like, ``persistence()`` and its like, ``StorageConfig``. Read by the rooms
above, when a class is mapped: ``class_options``, ``column_options``, ``merge_column_options``. Every option of the
design exists here; one that is not built raises ``NotSupportedYet`` (``built`` has the list), none is ignored.
"""

from __future__ import annotations

from lithair_sqla.options.classes import Caching, Migration, Persistence, Storage
from lithair_sqla.options.composition import (
    ColumnOptions,
    caching,
    index,
    lifecycle,
    migration,
    persistence,
    storage,
)
from lithair_sqla.options.reading import (
    ColumnRecord,
    ModelOptions,
    class_options,
    column_options,
    merge_column_options,
)
from lithair_sqla.options.store import (
    CompactionSchedule,
    CompressionAlg,
    EvictionPolicy,
    RetentionPolicy,
    StorageConfig,
    SyncMode,
    WriteStrategy,
)

__all__ = [
    "Caching",
    "ColumnOptions",
    "ColumnRecord",
    "CompactionSchedule",
    "CompressionAlg",
    "EvictionPolicy",
    "Migration",
    "ModelOptions",
    "Persistence",
    "RetentionPolicy",
    "Storage",
    "StorageConfig",
    "SyncMode",
    "WriteStrategy",
    "caching",
    "class_options",
    "column_options",
    "index",
    "lifecycle",
    "merge_column_options",
    "migration",
    "persistence",
    "storage",
]
