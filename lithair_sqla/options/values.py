"""What an option's value may be, read from its type annotation.

``Annotated[int, Meta(ge=1, le=100)]`` is what a type checker, a reader and this module see alike: there is no second
list of rules that could disagree with the signature. ``Rule.check`` applies one; the aliases below name the kinds of
value that several options share.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from math import isfinite
from types import MappingProxyType, NoneType, UnionType
from typing import Annotated, Any, Final, Literal, TypeAlias, Union, cast, get_args, get_origin

import msgspec
from msgspec import Meta

__all__ = [
    "Bytes",
    "ColumnName",
    "ColumnNames",
    "Count",
    "Days",
    "EventColumns",
    "EventName",
    "Expression",
    "IsoDate",
    "Place",
    "Places",
    "Prefix",
    "Rule",
    "Scalar",
    "SchemaName",
    "Seconds",
    "StreamName",
    "Version",
    "as_version",
    "nearest",
]

_IDENTIFIER_BYTES: Final = 63
_SHOWN_CHARACTERS: Final = 60
_HIGHEST_VERSION: Final = 32_767  # a smallint in the log


def _is_identifier(value: str) -> bool:
    return "\0" not in value and len(value.encode()) <= _IDENTIFIER_BYTES


def _is_schema(value: str) -> bool:
    # PostgreSQL keeps pg_ for itself: CREATE SCHEMA pg_… fails.
    return _is_identifier(value) and not value.startswith("pg_") and value != "information_schema"


def _is_date(value: str) -> bool:
    date.fromisoformat(value)
    return True


def _names_columns(value: Mapping[str, Sequence[str]]) -> bool:
    return all(value.values())


def _is_version(value: int | str) -> bool:
    return 1 <= as_version(value) <= _HIGHEST_VERSION


def as_version(value: int | str) -> int:
    """Read a version; the seed's ``"2.0"`` is 2.

    Raises:
        ValueError: a text that is no whole number.
    """
    if isinstance(value, int):
        return value
    whole = re.fullmatch(r"([0-9]{1,5})(\.0)?", value)
    if whole is None:
        raise ValueError(f"{value!r} is no version")
    return int(whole[1])


def _is_finite(value: object) -> bool:
    return not isinstance(value, float) or isfinite(value)


_PRINTABLE: Final = r"\A[^\x00-\x1f\x7f\ud800-\udfff]+\Z"

Count: TypeAlias = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Bytes: TypeAlias = Annotated[int, Meta(ge=0, le=1_073_741_824)]
Days: TypeAlias = Annotated[int, Meta(ge=1, le=36_500)]
Seconds: TypeAlias = Annotated[int, Meta(ge=1, le=1_000_000_000)]
EventName: TypeAlias = Annotated[
    str, Meta(pattern=_PRINTABLE, max_length=200, description="a name of 1 to 200 characters, none of them a control")
]
StreamName: TypeAlias = EventName
ColumnName: TypeAlias = Annotated[
    str, Meta(min_length=1, description="a column's name, 1 to 63 bytes without NUL"), _is_identifier
]
ColumnNames: TypeAlias = Annotated[Sequence[ColumnName], Meta(min_length=1, description="a list of column names")]
EventColumns: TypeAlias = Annotated[
    Mapping[EventName, Sequence[ColumnName]],
    Meta(min_length=1, description="a mapping of event names to lists of column names"),
    _names_columns,
]
Expression: TypeAlias = Annotated[str, Meta(min_length=1, max_length=1000, description="1 to 1,000 characters")]
IsoDate: TypeAlias = Annotated[
    str, Meta(pattern=r"\A\d{4}-\d\d-\d\d\Z", description="a date such as '2026-12-31'"), _is_date
]
Place: TypeAlias = Annotated[str, Meta(pattern=_PRINTABLE, max_length=200, description="the name of a storage")]
Places: TypeAlias = Annotated[Sequence[Place], Meta(min_length=1, description="a list of names of storages")]
SchemaName: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        description="a schema's name: 1 to 63 bytes without NUL, none of PostgreSQL's own (pg_…)",
    ),
    _is_schema,
]
Scalar: TypeAlias = Annotated[
    str | int | float | bool, Meta(description="a text, a finite number, True or False"), _is_finite
]
Version: TypeAlias = Annotated[
    int | str, Meta(description="a whole number, 1 to 32,767 ('2.0' is read as 2)"), _is_version
]
Prefix: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"\A[a-z_][a-z0-9_]*\Z",
        max_length=20,
        description="1 to 20 characters out of a-z, 0-9 and _, the first not a digit",
    ),
]


@dataclass(frozen=True, slots=True)
class Rule:
    """What one option accepts.

    Attributes:
        hint: its type annotation.
        expects: the same for people: ``"a whole number, 1 to 100"``.
        choices: the words it accepts, where they are few.
        tests: what the annotation's types cannot say; each tells whether a value will do.
    """

    hint: Any
    expects: str
    choices: tuple[str, ...]
    tests: tuple[Callable[[Any], bool], ...]

    @classmethod
    def of(cls, hint: Any) -> Rule:
        """Read an annotation; ``X | None`` accepts what ``X`` does, and ``None``."""
        inner = _without_none(hint)
        tests = tuple(_tests(inner))
        choices = get_args(inner) if get_origin(inner) is Literal else ()
        return cls(hint, _expects(inner), choices, tests)

    def check(self, value: object) -> Any:
        """Return the value in its frozen form: lists as tuples, mappings read-only.

        Raises:
            ValueError: it is none of those the option accepts; the message completes "… must be".
        """
        try:
            made = msgspec.convert(value, self.hint)
            if made is None or all(test(made) for test in self.tests):
                return _frozen(made)
        except ValueError:  # msgspec's own, or a test's: a lone surrogate, 30 February
            pass
        shown = repr(value)
        if len(shown) > _SHOWN_CHARACTERS:
            shown = shown[:_SHOWN_CHARACTERS] + "…"
        hint = nearest(value, self.choices) if isinstance(value, str) else ""
        raise ValueError(f"{self.expects}, not {shown}{hint}")


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean '…'?"`` for the known word that is nearest, or nothing."""
    found = get_close_matches(word, list(known), n=1)
    return f"; did you mean {found[0]!r}?" if found else ""


def _without_none(hint: Any) -> Any:
    if get_origin(hint) in {Union, UnionType}:
        rest = [part for part in get_args(hint) if part is not NoneType]
        return rest[0] if len(rest) == 1 else Union[tuple(rest)]  # noqa: UP007 - built at run time
    return hint


def _tests(hint: Any) -> Iterable[Callable[[Any], bool]]:
    if get_origin(hint) is Annotated:
        base, *extras = get_args(hint)
        yield from (cast("Callable[[Any], bool]", extra) for extra in extras if callable(extra))
        hint = base
    if get_origin(hint) in {Sequence, Mapping}:
        # What holds for a list's items, or a mapping's keys and values, holds for each of them.
        for index, part in enumerate(get_args(hint)):
            for test in _tests(part):
                yield _each(test, of_values=index == 1)


def _each(test: Callable[[Any], bool], *, of_values: bool) -> Callable[[Any], bool]:
    return lambda items: all(test(item) for item in (items.values() if of_values else items))


def _expects(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return " or ".join(filter(None, [", ".join(map(repr, get_args(hint)[:-1])), repr(get_args(hint)[-1])]))
    if hint is bool:
        return "True or False"
    if get_origin(hint) is Annotated:
        for extra in get_args(hint)[1:]:
            if isinstance(extra, Meta):
                return extra.description or f"a whole number, {extra.ge:,} to {extra.le:,}"
    if get_origin(hint) in {Union, UnionType}:
        return " or ".join(_expects(part) for part in get_args(hint))
    return f"of type {getattr(hint, '__qualname__', hint)}"


def _frozen(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_frozen(item) for item in value)
    if isinstance(value, dict):
        return MappingProxyType({key: _frozen(item) for key, item in value.items()})
    return value
