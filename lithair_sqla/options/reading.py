"""Options read back from a class and its columns, when it is mapped.

What the user composed was checked where it was made. It is checked again here, because SQLAlchemy may have turned it
into a plain dict on the way (``Annotated`` types do), and because only here class and column can be named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from lithair_sqla.errors import OptionError
from lithair_sqla.options.classes import Caching, Migration, Persistence, Storage
from lithair_sqla.options.columns import (
    CachingColumn,
    IndexColumn,
    LifecycleColumn,
    MigrationColumn,
    PersistenceColumn,
    StorageColumn,
)
from lithair_sqla.options.composition import ColumnOptions, records_in
from lithair_sqla.options.records import OptionRecord

__all__ = ["ColumnRecord", "ModelOptions", "class_options", "column_options", "merge_column_options"]

_ATTRIBUTES: Final[Mapping[str, type[OptionRecord]]] = {
    "__persistence__": Persistence,
    "__caching__": Caching,
    "__storage__": Storage,
    "__migration__": Migration,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """The options of a class.

    Attributes:
        persistence: from ``__persistence__``.
        migration: from ``__migration__``.
        caching: from ``__caching__``; ``None`` without.
        storage: from ``__storage__``; ``None`` without.
    """

    persistence: Persistence = field(default_factory=Persistence)
    migration: Migration = field(default_factory=Migration)
    caching: Caching | None = None
    storage: Storage | None = None

    @property
    def schema_version(self) -> int:
        """The shape that the class's events are written in."""
        return int(self.migration.version)


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnRecord:
    """The options of a column, a field for each word.

    Attributes:
        persistence: from ``persistence(…)``.
        lifecycle: from ``lifecycle(…)``.
        caching: from ``caching(…)``.
        storage: from ``storage(…)``.
        migration: from ``migration(…)``.
        index: from ``index(…)``; ``None`` without.
    """

    persistence: PersistenceColumn = field(default_factory=PersistenceColumn)
    lifecycle: LifecycleColumn = field(default_factory=LifecycleColumn)
    caching: CachingColumn = field(default_factory=CachingColumn)
    storage: StorageColumn = field(default_factory=StorageColumn)
    migration: MigrationColumn = field(default_factory=MigrationColumn)
    index: IndexColumn | None = None


def class_options(cls: type) -> ModelOptions:
    """Read a class's options; each attribute is inherited as any is.

    Args:
        cls: the mapped class.

    Raises:
        OptionError: an attribute that holds something else, or options under a name that nothing reads.
    """
    _refuse_misnamed(cls)
    owner = cls.__name__
    return ModelOptions(
        persistence=_attribute(cls, "__persistence__", Persistence, owner) or Persistence(),
        migration=_attribute(cls, "__migration__", Migration, owner) or Migration(),
        caching=_attribute(cls, "__caching__", Caching, owner),
        storage=_attribute(cls, "__storage__", Storage, owner),
    )


_Class = TypeVar("_Class", bound=OptionRecord)


def _attribute(cls: type, attribute: str, expected: type[_Class], owner: str) -> _Class | None:
    value = getattr(cls, attribute, None)
    if value is not None and not isinstance(value, expected):
        raise OptionError(f"{owner}.{attribute} must be {expected.__name__}(…), not {value!r}")
    return value


def _refuse_misnamed(cls: type) -> None:
    for base in cls.__mro__:
        for name, value in vars(base).items():
            expected = next((attribute for attribute, kind in _ATTRIBUTES.items() if isinstance(value, kind)), None)
            if expected is not None and name not in _ATTRIBUTES and name.startswith("__") and name.endswith("__"):
                raise OptionError(f"{base.__name__}.{name} is read by nothing; did you mean {expected!r}?")


def column_options(info: Mapping[Any, Any] | None, *, owner: str, column: str) -> ColumnRecord:
    """Read a column's options from its ``info``.

    Args:
        info: the column's; keys of the user's own are passed over.
        owner: the class's name, for messages.
        column: the column's name, for messages.

    Raises:
        OptionError: an unknown key under ``lithair.``, a wrong value, options that contradict or lack one another; the
            message begins with class and column.
        NotSupportedYet: an option that is not built.
    """
    with _named(owner, column):
        records = records_in(info or {})
        for record in records.values():
            record.check_complete()
        return ColumnRecord(**dict[str, Any](records))


def merge_column_options(
    info: Mapping[Any, Any] | None, override: Mapping[Any, Any], *, owner: str = "", column: str = ""
) -> ColumnOptions:
    """Add a class's ``__lithair_columns__[name]`` to the ``info`` of its column.

    Both may speak, but not contradict each other: nothing a column says of itself is silently lost.

    Args:
        info: the column's own.
        override: what the class says of it: ``persistence(…)``, composed or not.
        owner: the class's name, for messages.
        column: the column's name, for messages.

    Raises:
        OptionError: ``override`` is no mapping, is wrong in itself, or says other than ``info`` does.
    """
    with _named(owner, column):
        if not isinstance(override, Mapping):
            raise OptionError(f"__lithair_columns__ takes column options such as persistence(…), not {override!r}")
        return ColumnOptions(info or {}) | override


@contextmanager
def _named(owner: str, column: str) -> Iterator[None]:
    """Begin the message of an option's error with class and column, as far as they are known."""
    place = ".".join(filter(None, [owner, column]))
    try:
        yield
    except OptionError as error:
        if not place:
            raise
        raise type(error)(f"{place}: {error.args[0]}") from None
