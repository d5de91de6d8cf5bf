"""What a column's values are in an expression, how they are read from JSON, and how a result becomes one."""

from __future__ import annotations

import re
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from lithair_sqla.codec.expressions.numbers import rounded
from lithair_sqla.codec.values import text_literal
from lithair_sqla.errors import ExpressionError

__all__ = ["Kind", "fit", "kind_of", "read", "read_sql"]

_NUMERIC: Final = re.compile(r"(?:NUMERIC|DECIMAL)(?:\((\d+)(?:, *(\d+))?\))?")
_TEXT: Final = re.compile(r"TEXT|VARCHAR(?:\((\d+)\))?")
_INTEGERS: Final = {"SMALLINT": 15, "INTEGER": 31, "BIGINT": 63}
_FLOATS: Final = ("FLOAT", "DOUBLE PRECISION")


class Kind(StrEnum):
    """What a part of an expression is."""

    NUMBER = "number"
    TEXT = "text"
    CONDITION = "boolean"
    NULL = "null"


def kind_of(sql_type: str) -> Kind | None:
    """Say of what kind a column's values are in an expression; ``None`` for a type that it cannot speak of.

    Args:
        sql_type: as DDL spells it.
    """
    if sql_type in _INTEGERS or sql_type in _FLOATS or _NUMERIC.fullmatch(sql_type):
        return Kind.NUMBER
    if _TEXT.fullmatch(sql_type):
        return Kind.TEXT
    return Kind.CONDITION if sql_type == "BOOLEAN" else None


def read(value: Any, kind: Kind) -> Any:  # noqa: PLR0911 - a table in code
    """Read a column's JSON value; null where it is of another kind, as a number that is not finite is."""
    match kind, value:
        case Kind.CONDITION, bool():
            return value
        case Kind.TEXT, str():
            return value
        case Kind.NUMBER, bool():
            return None
        case Kind.NUMBER, int() | Decimal():
            return Decimal(value) if Decimal(value).is_finite() else None
        case Kind.NUMBER, float():
            return Decimal(repr(value)) if Decimal(repr(value)).is_finite() else None
        case Kind.NUMBER, "-0":
            return Decimal(0)
        case _:
            return None


def read_sql(state: str, name: str, kind: Kind) -> str:
    """Write how a column is read from a ``jsonb`` expression, as ``read`` does it."""
    key = text_literal(name)
    match kind:
        case Kind.NUMBER:
            return (
                f"(CASE jsonb_typeof({state}->{key}) WHEN 'number' THEN ({state}->>{key})::numeric "
                f"WHEN 'string' THEN CASE {state}->>{key} WHEN '-0' THEN 0::numeric END END)"
            )
        case Kind.TEXT:
            return f"(CASE jsonb_typeof({state}->{key}) WHEN 'string' THEN {state}->>{key} END)"
        case _:
            return f"(CASE jsonb_typeof({state}->{key}) WHEN 'boolean' THEN ({state}->>{key})::boolean END)"


def fit(value: Any, sql_type: str, source: str) -> Any:
    """Give a value the column's type, as a cast does."""
    if not isinstance(value, Decimal):
        limit = _TEXT.fullmatch(sql_type)
        return value[: int(limit[1])] if limit is not None and limit[1] is not None else value
    if sql_type in _FLOATS:
        fitted: Any = float(value)
        fits = abs(fitted) != float("inf")
    elif sql_type in _INTEGERS:
        fitted = int(rounded(value, 0))
        fits = -(2 ** _INTEGERS[sql_type]) <= fitted < 2 ** _INTEGERS[sql_type]
    else:
        digits, places = _bounds(sql_type)
        fitted = value if digits is None else rounded(value, places)
        fits = digits is None or abs(fitted) < Decimal(10).scaleb(digits - places - 1)
    if not fits:
        raise ExpressionError(f"{source!r} gives {value}, which is out of range for {sql_type}")
    return fitted + 0 if isinstance(fitted, Decimal) and not fitted else fitted


def _bounds(sql_type: str) -> tuple[int | None, int]:
    found = _NUMERIC.fullmatch(sql_type)
    if found is None or found[1] is None:
        return None, 0
    return int(found[1]), int(found[2] or 0)
