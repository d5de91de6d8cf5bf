"""What a user writes on a column: functions that return an ``info=`` dict, composed with ``|``.

::

    name: Mapped[str] = mapped_column(info=persistence(encrypted=True, searchable=True) | lifecycle(audited=True))

Keys are flat (``"lithair.persistence.encrypted"``), for SQLAlchemy merges the info of ``Annotated`` types with
``dict.update``, which would wipe out a nested dict. Keys of the user's own live beside them, untouched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, ParamSpec, Self

from lithair_sqla.errors import OptionError
from lithair_sqla.options.columns import (
    COLUMN_WORDS,
    CachingColumn,
    IndexColumn,
    LifecycleColumn,
    MigrationColumn,
    PersistenceColumn,
    StorageColumn,
)
from lithair_sqla.options.values import nearest

if TYPE_CHECKING:
    from lithair_sqla.options.records import OptionRecord

__all__ = [
    "PREFIX",
    "ColumnOptions",
    "caching",
    "index",
    "lifecycle",
    "migration",
    "persistence",
    "records_in",
    "storage",
]

PREFIX: Final = "lithair."
"""Keys of a column's ``info`` that begin so are the library's."""


class ColumnOptions(dict[Any, Any]):
    """A column's options as an ``info`` dict that stays checked while it is composed.

    An option may be said twice but not differently: ``persistence(event="A") | persistence(event="B")`` is an error,
    as is SQLAlchemy's own merging of an ``Annotated`` type's info into it.
    """

    def __init__(self, *items: Any, **more: Any) -> None:
        super().__init__(*items, **more)
        for record in records_in(self).values():
            super().update(_flat(record))

    def copy(self) -> ColumnOptions:
        """Return a copy of the same class, as SQLAlchemy asks for when it copies a column."""
        return ColumnOptions(self)

    def __or__(self, other: Any) -> ColumnOptions:
        return _merged(self, other) if isinstance(other, Mapping) else NotImplemented

    def __ror__(self, other: Any) -> ColumnOptions:
        return _merged(other, self) if isinstance(other, Mapping) else NotImplemented

    def __ior__(self, other: Any) -> Self:
        self.update(other)
        return self

    def update(self, *items: Any, **more: Any) -> None:
        """Take in further items, under the same rule as ``|``."""
        super().update(_merged(self, dict(*items, **more)))


def _merged(left: Mapping[Any, Any], right: Mapping[Any, Any]) -> ColumnOptions:
    left, right = ColumnOptions(left), ColumnOptions(right)
    for key in left.keys() & right.keys():
        if is_ours(key) and left[key] != right[key]:
            _, word, option = key.split(".")
            raise OptionError(f"{word}({option}=…) is said twice and differently: {left[key]!r} and {right[key]!r}")
    return ColumnOptions({**left, **right})


def records_in(info: Mapping[Any, Any]) -> dict[str, OptionRecord]:
    """Return the records, by word, that a column's ``info`` holds; words that do not occur are left out.

    Raises:
        OptionError: a key of ours that is unknown, a value that is wrong, two that contradict each other.
        NotSupportedYet: an option that is not built.
    """
    found: dict[str, dict[str, Any]] = {}
    for key, value in info.items():
        if not is_ours(key):
            continue
        word, _, option = key.removeprefix(PREFIX).partition(".")
        if word not in COLUMN_WORDS:
            words = [f"{PREFIX}{known}.{option}" for known in COLUMN_WORDS]
            raise OptionError(f"info key {key!r} is not an option{nearest(key, words)}")
        found.setdefault(word, {})[option] = value
    return {word: COLUMN_WORDS[word](**options) for word, options in found.items()}


def is_ours(key: object) -> bool:
    """Tell whether a key of a column's ``info`` is the library's."""
    return isinstance(key, str) and key.startswith(PREFIX)


def _flat(record: OptionRecord) -> dict[str, Any]:
    return {f"{PREFIX}{record.word()}.{option}": value for option, value in record.changed().items()}


_Options = ParamSpec("_Options")


def _column_function(record: Callable[_Options, OptionRecord]) -> Callable[_Options, ColumnOptions]:
    """Make the function of a record's word: the record's signature and documentation, an ``info`` dict for result."""

    @wraps(record, updated=())
    def function(*arguments: _Options.args, **options: _Options.kwargs) -> ColumnOptions:
        return ColumnOptions(_flat(record(*arguments, **options)))

    function.__name__ = function.__qualname__ = next(word for word, known in COLUMN_WORDS.items() if known is record)
    function.__module__ = __name__
    return function


persistence = _column_function(PersistenceColumn)
lifecycle = _column_function(LifecycleColumn)
index = _column_function(IndexColumn)
caching = _column_function(CachingColumn)
storage = _column_function(StorageColumn)
migration = _column_function(MigrationColumn)
