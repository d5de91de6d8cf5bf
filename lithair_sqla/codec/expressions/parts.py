"""The parts of an expression: what each is, in both languages."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from lithair_sqla.codec.expressions import numbers
from lithair_sqla.codec.expressions.kinds import Kind

__all__ = ["ARITHMETIC", "COMPARISONS", "Part", "Row", "strict"]

Row = Mapping[str, Any]
"""A row or state as JSON: column → value."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of an expression, in both languages.

    Attributes:
        kind: of its value.
        value: computes it from a row.
        sql: writes it for a ``jsonb`` expression of that row.
        source: as the user wrote it.
    """

    kind: Kind
    value: Callable[[Row], Any]
    sql: Callable[[str], str]
    source: str


def strict(compute: Callable[..., Any], *parts: Part) -> Callable[[Row], Any]:
    """Compute from parts that are all there; null where one is null."""

    def value(row: Row) -> Any:
        found = [part.value(row) for part in parts]
        return None if None in found else compute(*found)

    return value


ARITHMETIC: Final[Mapping[type[ast.operator], tuple[Callable[[Decimal, Decimal], Decimal | None], str]]] = {
    ast.Add: (numbers.add, "({} + {})"),
    ast.Sub: (numbers.subtract, "({} - {})"),
    ast.Mult: (numbers.multiply, "({} * {})"),
    ast.Div: (
        numbers.quotient,
        f"(div({{}} * 1{'0' * numbers.DECIMALS}, nullif({{}}, 0)) * 0.{'0' * (numbers.DECIMALS - 1)}1)",
    ),
    ast.Mod: (numbers.remainder, "({} % nullif({}, 0))"),
}

COMPARISONS: Final[Mapping[type[ast.cmpop], tuple[Callable[[Any, Any], bool], str, bool]]] = {
    ast.Eq: (lambda a, b: a == b, "=", False),
    ast.NotEq: (lambda a, b: a != b, "<>", False),
    ast.Lt: (lambda a, b: a < b, "<", True),
    ast.LtE: (lambda a, b: a <= b, "<=", True),
    ast.Gt: (lambda a, b: a > b, ">", True),
    ast.GtE: (lambda a, b: a >= b, ">=", True),
}
