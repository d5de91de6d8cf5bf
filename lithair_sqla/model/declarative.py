"""The mixin: what makes a mapped class event-sourced, and what is checked when it is mapped.

``EventSourced`` adds no column and almost no attribute. A listener on it, which SQLAlchemy hands down to every mapped
subclass, reads the options, refuses what cannot work, and leaves a ``Guard`` on the table for ``create_all`` and
Alembic to put into the database.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self
from weakref import WeakKeyDictionary

from sqlalchemy import Column, MetaData, Table, event, inspect
from sqlalchemy.orm import Mapper, Session, configure_mappers
from sqlalchemy.types import NullType

from lithair_sqla.codec.sealing import Encrypted
from lithair_sqla.codec.values import column_value
from lithair_sqla.errors import MappingError, OptionError
from lithair_sqla.options import (
    ColumnRecord,
    ModelOptions,
    Persistence,
    class_options,
    column_options,
    merge_column_options,
)
from lithair_sqla.schema.guards import INFO_KEY, Guard, key_columns
from lithair_sqla.schema.indexes import declare_indexes
from lithair_sqla.schema.tables import METADATA_KEY, LibraryTables

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "EventSourced",
    "declare",
    "declare_association_tables",
    "declare_table",
    "event_sourced_mappers",
    "is_event_sourced",
    "model_options",
    "tables_of",
]

_STREAMS_KEY: Final = "lithair.streams"
_declared: WeakKeyDictionary[type, ModelOptions] = WeakKeyDictionary()


class EventSourced:
    """Mixin for models whose every change is to be an event; it comes before the declarative base.

    ::

        class Product(EventSourced, Base):
            __tablename__ = "product"
            __persistence__ = Persistence(snapshot_frequency=1000)
            id: Mapped[int] = mapped_column(primary_key=True)
            price: Mapped[Decimal] = mapped_column(info=persistence(event="PriceUpdated"))
    """

    __persistence__: ClassVar[Persistence]
    __lithair_columns__: ClassVar[Mapping[str, Mapping[str, Any]]]

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Refuse the mixin behind a declarative base, where its options would be read too late."""
        for base in cls.__bases__:
            if base is EventSourced:
                break
            if isinstance(getattr(base, "metadata", None), MetaData) and not issubclass(base, EventSourced):
                raise MappingError(
                    f"{cls.__name__}: EventSourced must come before {base.__name__} in the bases: "
                    f"class {cls.__name__}(EventSourced, {base.__name__})"
                )
        super().__init_subclass__(**keywords)
        mapper = vars(cls).get("__mapper__")  # not inspect(), which refuses a class that is reflected later
        if isinstance(mapper, Mapper) and cls not in _declared:
            # Something, a fixture of a test suite perhaps, has removed all of SQLAlchemy's listeners on classes.
            event.listen(EventSourced, "after_mapper_constructed", _mapped, propagate=True)
            _mapped(mapper, cls)

    @classmethod
    def rebuild_from_events(cls, session: Session, key: Any) -> Self:
        """Return the object as its events make it, newest snapshot and tail, without reading its row.

        Args:
            session: on the database that holds the log.
            key: the primary key; a tuple where it has several columns.

        Returns:
            A detached object, not the session's own.

        Raises:
            StreamNotFoundError: no live stream has that key.
        """
        from lithair_sqla.model.replay import rebuild_from_events  # noqa: PLC0415 - replay knows the mixin

        return rebuild_from_events(session, cls, key)


def is_event_sourced(class_: type) -> bool:
    """Tell whether a mapped class is event-sourced (or stands on an event-sourced table)."""
    return class_ in _declared


def model_options(class_: type) -> ModelOptions:
    """Return the options a class was declared with.

    Raises:
        MappingError: the class is not event-sourced.
    """
    try:
        return _declared[class_]
    except KeyError:
        raise MappingError(
            f"{getattr(class_, '__name__', class_)} is not event-sourced: give it the mixin (class "
            f"{getattr(class_, '__name__', 'Model')}(EventSourced, Base)) or enrol it"
        ) from None


def event_sourced_mappers() -> Iterator[type]:
    """Yield every class that was declared event-sourced and is still alive."""
    yield from list(_declared)


def tables_of(mapper: Mapper[Any]) -> list[Table]:
    """Return the tables that a class's rows stand in, base table first."""
    lineage = {parent.local_table: -depth for depth, parent in enumerate(mapper.iterate_to_root())}
    return sorted(
        (table for table in mapper.tables if isinstance(table, Table)), key=lambda table: lineage.get(table, 1)
    )


@event.listens_for(EventSourced, "after_mapper_constructed", propagate=True)
def _mapped(mapper: Mapper[Any], class_: type, *_: Any) -> None:
    declare(mapper, class_options(class_))


@event.listens_for(Mapper, "after_configured")
def declare_association_tables() -> None:
    """Guard association tables once every class has its relationships: some come as the backref of another's."""
    for class_, options in list(_declared.items()):
        mapper: Mapper[Any] | None = inspect(class_, raiseerr=False)
        if mapper is not None and mapper.configured:
            _declare_association_tables(mapper, options)


def declare(
    mapper: Mapper[Any], options: ModelOptions, *, columns: Mapping[str, Mapping[str, Any]] | None = None
) -> None:
    """Make a mapped class event-sourced: check it, join the library's tables, leave the guard on its table.

    Args:
        mapper: the class's.
        options: its class-level options.
        columns: column options by name; ``None`` takes the class's ``__lithair_columns__``.

    Raises:
        MappingError: the class is not mapped to a table, or shares its stream name with another table.
        ColumnTypeError: a column would not come back from the log.
        OptionError: an option on one of its columns is wrong.
    """
    class_ = mapper.class_
    table = mapper.local_table
    if not isinstance(table, Table):
        raise MappingError(
            f"{class_.__name__} is mapped to {type(table).__name__}, not to a table: only tables can be event-sourced"
        )
    _declared[class_] = options
    name = class_.__name__
    declared: Guard | None = table.info.get(INFO_KEY)
    if declared is not None and mapper.inherits is not None and mapper.inherits.local_table is table:
        # Single-table inheritance: the parent's guard serves the table; a child may add columns and their events.
        if options.persistence != declared.persistence and "__persistence__" in vars(class_):
            raise OptionError(
                f"{name}: __persistence__ of a single-table subclass must be its parent's: one table, one guard"
            )
        records = _column_records(mapper, table, name, columns)
        events = {**declared.column_events, **_column_events(table, records)}
        table.info[INFO_KEY] = Guard(
            stream=declared.stream,
            persistence=declared.persistence,
            column_events=events,
            schema_version=declared.schema_version,
        )
        _declare_indexes(table, records, name)
        return
    _check_types(table, name)
    stream = options.persistence.name or name
    _claim_stream(table, stream)
    LibraryTables.of(table.metadata)
    records = _column_records(mapper, table, name, columns)
    guard = Guard(
        stream=stream,
        persistence=options.persistence,
        column_events=_column_events(table, records),
        schema_version=options.schema_version,
    )
    key_columns(table, guard)
    table.info[INFO_KEY] = guard
    _declare_indexes(table, records, name)


def _declare_indexes(table: Table, records: Mapping[str, ColumnRecord], owner: str) -> None:
    config = LibraryTables.of(table.metadata).config
    declare_indexes(table, records, owner=owner, full_text=config.full_text_index_enabled is not False)


def _check_types(table: Table, owner: str) -> None:
    for column in table.columns:
        # A foreign key's type may still be its target's to give.
        if not (isinstance(column.type, NullType) and column.foreign_keys):
            column_value(column, owner=owner)


def declare_table(table: Table, persistence: Persistence, *, columns: Mapping[str, Mapping[str, Any]]) -> None:
    """Make a table without a class event-sourced; its streams are named after it."""
    for name in columns:
        if name not in table.columns:
            raise OptionError(
                f"table {table.fullname} has no column {name!r} (it has {', '.join(table.columns.keys())})"
            )
    _check_types(table, table.fullname)
    stream = persistence.name or table.name
    _claim_stream(table, stream)
    LibraryTables.of(table.metadata)
    records = {}
    for column in table.columns:
        info = merge_column_options(column.info, columns.get(column.name, {}), owner=table.fullname, column=column.name)
        records[column.key] = options = column_options(info, owner=table.fullname, column=column.name)
        _check_encrypted(column, options, table.fullname)
    guard = Guard(
        stream=stream,
        persistence=persistence,
        column_events=_column_events(table, records),
        keys=() if table.primary_key.columns else tuple(column.name for column in table.columns),
    )
    key_columns(table, guard)
    table.info[INFO_KEY] = guard
    _declare_indexes(table, records, table.fullname)


def _column_records(
    mapper: Mapper[Any], table: Table, owner: str, columns: Mapping[str, Mapping[str, Any]] | None
) -> dict[str, ColumnRecord]:
    declared = getattr(mapper.class_, "__lithair_columns__", {}) if columns is None else columns
    for name in declared:
        if name not in table.columns and name not in mapper.attrs:
            raise OptionError(f"{owner}: __lithair_columns__ names {name!r}, which is not a column of {table.fullname}")
    records: dict[str, ColumnRecord] = {}
    for column in table.columns:
        info = _info_of(mapper, column, declared)
        records[column.key] = options = column_options(info, owner=owner, column=column.name)
        _check_encrypted(column, options, owner)
    return records


def _column_events(table: Table, records: Mapping[str, ColumnRecord]) -> dict[str, str]:
    return {
        table.columns[key].name: record.persistence.event
        for key, record in records.items()
        if record.persistence.event is not None
    }


def _check_encrypted(column: Column[Any], options: ColumnRecord, owner: str) -> None:
    """A column is encrypted by the mixin, while its class is being mapped: an option that comes later is refused."""
    if options.persistence.encrypted and not isinstance(column.type, Encrypted):
        raise OptionError(
            f"{owner}.{column.name} cannot be encrypted from outside: the class needs the mixin, with the option on "
            "the column, or in __lithair_columns__ under the column's name"
        )


def _info_of(mapper: Mapper[Any], column: Column[Any], declared: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    override = declared.get(column.name)
    if override is None and column in mapper._columntoproperty:  # noqa: SLF001 - no public way round before configuration
        override = declared.get(mapper._columntoproperty[column].key)  # noqa: SLF001
    owner = mapper.class_.__name__
    return (
        column.info
        if override is None
        else merge_column_options(column.info, override, owner=owner, column=column.name)
    )


def _claim_stream(table: Table, stream: str) -> None:
    """Keep two tables of one metadata from writing into the same streams."""
    claimed: dict[str, str] = table.metadata.info.setdefault(_STREAMS_KEY, {})
    holder = claimed.setdefault(stream, table.fullname)
    if holder != table.fullname and holder in table.metadata.tables:
        raise MappingError(
            f"tables {holder} and {table.fullname} would both write streams named {stream!r}: give one of them "
            "Persistence(name=…)"
        )
    claimed[stream] = table.fullname


def _declare_association_tables(mapper: Mapper[Any], options: ModelOptions) -> None:
    for relationship in mapper.relationships:
        table = relationship.secondary
        if not isinstance(table, Table) or INFO_KEY in table.info or table.info.get("lithair.library"):
            continue
        declare_table(table, Persistence(foreign_writes=options.persistence.foreign_writes), columns={})


@event.listens_for(MetaData, "before_create")
def _before_create(target: MetaData, *_: Any, **__: Any) -> None:
    """Association tables are known once relationships are: before the guards are made."""
    if METADATA_KEY in target.info:
        configure_mappers()
        declare_association_tables()
