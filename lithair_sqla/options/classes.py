"""Options of a class: the seed's ``#[persistence(…)]``, ``#[caching(…)]``, ``#[storage(…)]``, ``#[migration(…)]``.

Each is assigned to the class attribute of its name, ``__persistence__ = Persistence(…)``, and inherited as any class
attribute is. docs/reference/options.md says what each option does, and which are built.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from lithair_sqla.errors import OptionError
from lithair_sqla.options.records import OptionRecord, option_record
from lithair_sqla.options.values import (
    Bytes,
    ColumnName,
    Count,
    Days,
    EventColumns,
    EventName,
    Place,
    Places,
    Seconds,
    StreamName,
    Version,
    as_version,
)

__all__ = ["Caching", "Migration", "Persistence", "Storage"]


@option_record
@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Persistence(OptionRecord):
    """How the rows of a class become events.

    ::

        class Product(EventSourced, Base):
            __persistence__ = Persistence(snapshot_frequency=1000, events={"StockChanged": ["stock"]})

    Attributes:
        strategy: there is one.
        name: name of the class's streams; ``None`` is the class's name.
        snapshot_frequency: versions from one snapshot of a stream to the next; 0 takes none, ``None`` is
            ``StorageConfig``'s.
        max_snapshots_per_aggregate: how many snapshots of a stream are kept, the newest; ``None`` is
            ``StorageConfig``'s.
        created_event: type of the event of an inserted row; ``None`` is the stream's name and ``Created``.
        updated_event: … of an updated one; ``None`` is the stream's name and ``Updated``.
        deleted_event: … of a deleted one; ``None`` is the stream's name and ``Deleted``.
        events: event type → columns; an update whose changed columns are all among them is called so. Where several
            fit, the one with the fewest columns names the event, of several the last.
        foreign_writes: what becomes of writes that no session of ours announced.
        truncate: what becomes of TRUNCATE: refused, or one delete a row.
        capture: who appends: the table's trigger, or the session's hooks where no trigger may be made.
        write_strategy: when a commit is acknowledged.
        read_preference: what answers a read.
        serialization: format of an event that is packed.
        compression: … and how it is compressed.
        compression_threshold: bytes from which on an event is packed.
        retention_days: how long events are kept.
        subject: column that names whose data a row is, for ``forget``.
    """

    _word: ClassVar[str] = "Persistence"

    strategy: Literal["event_sourced"] = "event_sourced"
    name: StreamName | None = None
    snapshot_frequency: Count | None = None
    max_snapshots_per_aggregate: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    created_event: EventName | None = None
    updated_event: EventName | None = None
    deleted_event: EventName | None = None
    events: EventColumns | None = field(default=None, hash=False)
    foreign_writes: Literal["capture", "refuse"] = "capture"
    truncate: Literal["refuse", "capture"] = "refuse"
    capture: Literal["guard", "session"] = "guard"
    write_strategy: Literal["sync", "async", "async_batch"] = "sync"
    read_preference: Literal["storage_first", "cache_first", "cache_only"] = "storage_first"
    serialization: Literal["json", "msgpack", "protobuf"] = "json"
    compression: Literal["zstd"] | None = None
    compression_threshold: Bytes | None = None
    retention_days: Days | None = None
    subject: ColumnName | None = None

    def _check(self) -> None:
        self._check_events()
        if self.capture == "session":
            if self.foreign_writes == "refuse":
                raise OptionError(
                    "Persistence(capture='session', foreign_writes='refuse') contradict each other: without a trigger "
                    "nothing sees a foreign write"
                )
            if self.truncate == "capture":
                raise OptionError(
                    "Persistence(capture='session', truncate='capture') contradict each other: without a trigger "
                    "nothing sees a TRUNCATE"
                )
        if self.compression_threshold is not None and self.compression is None and self.serialization == "json":
            raise OptionError(
                "Persistence(compression_threshold=…) needs compression or serialization: nothing is packed without"
            )

    def _check_events(self) -> None:
        seen: dict[frozenset[str], str] = {}
        for event, columns in (self.events or {}).items():
            earlier = seen.setdefault(frozenset(columns), event)
            if earlier != event:
                raise OptionError(
                    f"Persistence(events=…): {earlier!r} can never be used, for {event!r}, which stands behind it, has "
                    "the same columns"
                )


@option_record
@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Caching(OptionRecord):
    """How the objects of a class are cached.

    Attributes:
        strategy: when the cache is written.
        ttl_seconds: how long an entry lives.
        max_size_mb: how much memory the entries of the class may take.
        eviction: which entry makes room.
    """

    _word: ClassVar[str] = "Caching"
    _asks_by_itself: ClassVar[bool] = True

    strategy: Literal["write_through", "write_back", "write_around"] | None = None
    ttl_seconds: Seconds | None = None
    max_size_mb: Annotated[int, Meta(ge=1, le=1_048_576)] | None = None
    eviction: Literal["lru", "lfu", "fifo"] | None = None


@option_record
@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Storage(OptionRecord):
    """Where the events of a class are kept as they age.

    Attributes:
        primary: storage that is written first.
        backup: … that holds a second copy.
        archive: … that old events move to.
        read_replicas: … that may answer reads.
    """

    _word: ClassVar[str] = "Storage"
    _asks_by_itself: ClassVar[bool] = True

    primary: Place | None = None
    backup: Place | None = None
    archive: Place | None = None
    read_replicas: Places | None = None


@option_record
@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Migration(OptionRecord):
    """Which shape the events of a class have, and how older ones come to it.

    Attributes:
        version: the shape written now.
        from_version: the oldest shape that can still be read.
        strategy: when older events are brought to it: as they are read, in the migration, or behind it.
    """

    _word: ClassVar[str] = "Migration"

    version: Version = 1
    from_version: Version | None = None
    strategy: Literal["lazy", "eager", "background"] = "lazy"

    def _check(self) -> None:
        version = as_version(self.version)
        object.__setattr__(self, "version", version)
        if self.from_version is not None:
            oldest = as_version(self.from_version)
            object.__setattr__(self, "from_version", oldest)
            if oldest >= version:
                raise OptionError(f"Migration(from_version={oldest}) must be below version, which is {version}")
