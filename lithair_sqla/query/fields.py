"""Attributes of a class by name: found, or refused with the nearest; and values that fit them."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

from sqlalchemy import MetaData, inspect
from sqlalchemy.orm import ColumnProperty, Mapper

from lithair_sqla.errors import QueryError
from lithair_sqla.model.declarative import event_sourced_mappers, model_options

__all__ = ["attribute_of", "check_count", "check_value", "model_named", "nearest"]


def nearest(word: str, known: Iterable[str]) -> str:
    """Say what was perhaps meant, else what there is."""
    names = sorted(known)
    found = get_close_matches(word, names, n=1)
    return f"did you mean {found[0]!r}?" if found else f"there are {', '.join(names) or 'none'}"


def model_named(target: Any, metadata: MetaData | None = None) -> type:
    """Return an event-sourced class: itself, or by the name of its streams.

    Args:
        target: class or name.
        metadata: of the classes to look among; ``None`` looks among all.

    Raises:
        QueryError: no class, or several, have streams of that name.
    """
    if isinstance(target, type):
        model_options(target)
        return target
    by_name: dict[str, list[type]] = {}
    for known in event_sourced_mappers():
        if metadata is not None and getattr(known, "metadata", None) is not metadata:
            continue
        by_name.setdefault(model_options(known).persistence.name or known.__name__, []).append(known)
    found = by_name.get(target, [])
    if not found:
        raise QueryError(f"no class has streams named {target!r}: {nearest(str(target), by_name)}")
    if len(found) > 1:
        raise QueryError(f"{len(found)} classes have streams named {target!r}: give the class itself")
    return found[0]


def attribute_of(model: type, name: str) -> Any:
    """Return a class's column attribute.

    Raises:
        QueryError: it has none of that name; suggests the nearest.
    """
    mapper: Mapper[Any] = inspect(model)
    columns = {attribute.key for attribute in mapper.column_attrs}
    if name not in columns:
        raise QueryError(f"{model.__name__} has no field {name!r}: {nearest(str(name), columns)}")
    return getattr(model, name)


def check_value(model: type, name: str, value: Any) -> Any:
    """Return a value that a column can be compared with.

    Raises:
        QueryError: it is of another type.
    """
    prop: Any = inspect(model).attrs[name]
    expected = _python_type(prop)
    if expected is None or value is None or isinstance(value, _accepted(expected)):
        if not (isinstance(value, bool) and expected is not bool and expected is not None):
            return value
    elif not isinstance(value, (str, int, float, bytes, Decimal)):
        return value  # a type of the user's own, which the column's type may well take
    raise QueryError(f"{model.__name__}.{name} takes {getattr(expected, '__name__', expected)}, not {value!r}")


def _accepted(expected: type) -> tuple[type, ...]:
    if expected in {Decimal, float}:
        return (expected, int, Decimal, float)
    return (expected,)


def _python_type(prop: ColumnProperty[Any]) -> type | None:
    type_ = prop.columns[0].type
    try:
        found: type = type_.python_type
    except NotImplementedError:
        return None
    # A type decorator may take anything, and an enum its names.
    return found if found.__module__ in {"builtins", "datetime", "decimal", "uuid"} else None


def check_count(word: str, count: Any, *, least: int) -> int:
    """Return a number of rows.

    Raises:
        QueryError: it is none.
    """
    if type(count) is not int or count < least:
        raise QueryError(f"{word}(…) takes a whole number from {least}, not {count!r}")
    return count
