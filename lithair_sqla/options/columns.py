"""Options of a column: one record for each word, read back from the column's ``info``.

What a user writes is the function of the same word (``persistence(event="PriceUpdated")``, see ``composition``); these
records give it its signature, its checks and its documentation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal

from msgspec import Meta

from lithair_sqla.errors import OptionError
from lithair_sqla.options.records import OptionRecord, option_record
from lithair_sqla.options.values import ColumnName, ColumnNames, Days, EventName, Expression, IsoDate, Scalar, Seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "COLUMN_WORDS",
    "CachingColumn",
    "IndexColumn",
    "LifecycleColumn",
    "MigrationColumn",
    "PersistenceColumn",
    "StorageColumn",
]


@option_record
@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class PersistenceColumn(OptionRecord):
    """How a column stands in the log.

    Attributes:
        event: type of an update's event when all columns that changed name this one.
        indexed: an index on the row's column.
        bloom_filter: a filter that answers "surely not there" without asking the database.
        encrypted: the value is sealed, in row, log, snapshots and archives alike.
        searchable: an encrypted column can be compared with ``==``.
        compressed: the value may be packed away from what queries need.
        versioned: its values are kept beyond retention.
        replicated: it is carried to replicas.
        consistent_read: it is never read from a replica that is behind.
    """

    _word: ClassVar[str] = "persistence"

    event: EventName | None = None
    indexed: bool = False
    bloom_filter: bool = False
    encrypted: bool = False
    searchable: bool = False
    compressed: bool = False
    versioned: bool = False
    replicated: bool = False
    consistent_read: bool = False

    def check_complete(self) -> None:
        """Refuse ``searchable`` where nothing is encrypted."""
        if self.searchable and not self.encrypted:
            raise OptionError(
                "persistence(searchable=True) needs encrypted=True: a column in plain text is searchable as it is"
            )


@option_record
@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class LifecycleColumn(OptionRecord):
    """How a column is looked after.

    Attributes:
        audited: it is always in the audit trail, with old and new value.
    """

    _word: ClassVar[str] = "lifecycle"

    audited: bool = False


@option_record
@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class IndexColumn(OptionRecord):
    """The index that a column's queries need.

    Attributes:
        type: what it answers: order and equality, equality, ranges of a growing value, words, places.
        unique: no value twice; for ``"btree"``.
        fields: the columns it spans, where they are more than this one, which is among them.
        optimize_for: ``"time_series"``: values grow with time; for ``"range"``.
        language: two letters, or a text search configuration of PostgreSQL; for ``"full_text"``.
        precision: how exact ``near()`` is: the box around the circle, on a plane, on the globe; for ``"geo_spatial"``.
        events: the index stands on the events' field too.
    """

    _word: ClassVar[str] = "index"

    type: Literal["btree", "hash", "range", "full_text", "geo_spatial"] = field(kw_only=False)
    unique: bool = False
    fields: ColumnNames | None = None
    optimize_for: Literal["time_series"] | None = None
    language: (
        Annotated[
            str, Meta(pattern=r"\A[a-z][a-z_]*\Z", max_length=63, description="a language such as 'fr' or 'french'")
        ]
        | None
    ) = None
    precision: Literal["low", "medium", "high"] | None = None
    events: bool = False

    def _check(self) -> None:
        for option, needs in _INDEX_NEEDS.items():
            if self.type != needs and option in self.changed():
                raise OptionError(f"index({self.type!r}, {option}=…) contradict each other: {option} is for {needs!r}")


_INDEX_NEEDS: Final[Mapping[str, str]] = {
    "unique": "btree",
    "optimize_for": "range",
    "language": "full_text",
    "precision": "geo_spatial",
}


@option_record
@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class CachingColumn(OptionRecord):
    """How a column is cached.

    Attributes:
        hot_data: it belongs to what is kept close.
        pin_in_memory: it is never evicted.
        searchable_index: the cache can be searched by it.
        computed_field: it is computed, not stored.
        refresh_interval: … every so many seconds.
    """

    _word: ClassVar[str] = "caching"

    hot_data: bool = False
    pin_in_memory: bool = False
    searchable_index: bool = False
    computed_field: bool = False
    refresh_interval: Seconds | None = None

    def check_complete(self) -> None:
        """Refuse an interval where nothing is computed."""
        if self.refresh_interval is not None and not self.computed_field:
            raise OptionError("caching(refresh_interval=…) needs computed_field=True: it says how often to compute")


@option_record
@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class StorageColumn(OptionRecord):
    """Where a column's values are kept as they age.

    Attributes:
        tier: how close.
        replicas: how many copies.
        backup_sync: whether a commit waits for the backup.
        archive_after_days: when they move to the archive.
    """

    _word: ClassVar[str] = "storage"

    tier: Literal["hot", "warm", "cold"] | None = None
    replicas: Annotated[int, Meta(ge=1, le=100)] | None = None
    backup_sync: Literal["sync", "async"] | None = None
    archive_after_days: Days | None = None


@option_record
@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class MigrationColumn(OptionRecord):
    """How a column's older events come to its shape of today.

    Attributes:
        default_value: what events from before the column say.
        computed_from: an expression over the event's other columns that says it.
        renamed_from: the column's former name.
        deprecated: it is on its way out.
        hide_after: the day from which on reads leave it out.
    """

    _word: ClassVar[str] = "migration"

    default_value: Scalar | None = None
    computed_from: Expression | None = None
    renamed_from: ColumnName | None = None
    deprecated: bool = False
    hide_after: IsoDate | None = None

    def _check(self) -> None:
        if self.computed_from is not None:
            for option in ("default_value", "renamed_from"):
                if getattr(self, option) is not None:
                    raise OptionError(
                        f"migration(computed_from=…, {option}=…) contradict each other: a value comes from one place"
                    )

    def check_complete(self) -> None:
        """Refuse to hide what is not deprecated."""
        if self.hide_after is not None and not self.deprecated:
            raise OptionError(
                "migration(hide_after=…) needs deprecated=True: a column is announced before it is hidden"
            )


COLUMN_WORDS: Final[Mapping[str, type[OptionRecord]]] = {
    "persistence": PersistenceColumn,
    "lifecycle": LifecycleColumn,
    "index": IndexColumn,
    "caching": CachingColumn,
    "storage": StorageColumn,
    "migration": MigrationColumn,
}
"""The words that may stand behind ``lithair.`` in a column's ``info``."""
