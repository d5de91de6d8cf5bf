"""The small language of ``migration(computed_from="price * 1.2")``: one text, the same answer in Python and in SQL.

========================== ==========================================================================================
``price``, ``12.5``        columns; numbers, read digit for digit
``'text'``, ``True``,      constants
``None``
``+ - * / %``              of numbers; ``a / b`` is cut off after 20 decimals; it and ``a % b`` are null where b is zero
``a + b``                  of texts
``== != < <= > >=``        of two values of one kind; texts go by their code points
``and or not``             of conditions
``a is None``              and ``is not None``: the one question that null answers
``x if condition else y``  ``y`` where the condition is null
``coalesce(a, b, …)``      the first that is not null
``round(x, 2)``            half away from zero; ``round(x)`` to a whole number
``abs(x)``, ``length(t)``  of a number; of a text, in characters
========================== ==========================================================================================

Null goes in, null comes out, but for ``is None``, ``coalesce`` and what ``and`` and ``or`` can tell all the same.
Columns may be numbers, texts and booleans; a number that is not finite counts as null. Every part has its kind before
anything is computed, so nothing absurd (``'a' * 999999999``) is ever tried.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lithair_sqla.codec.expressions.kinds import Kind, fit, kind_of
from lithair_sqla.codec.expressions.parts import Part, Row
from lithair_sqla.codec.expressions.reader import Reader
from lithair_sqla.errors import ExpressionError

__all__ = ["Expression", "Kind", "kind_of"]


@dataclass(frozen=True, slots=True)
class Expression:
    """A ``computed_from``, checked, for a column of a type.

    Attributes:
        source: as the user wrote it.
        sql_type: of the column that it computes.
        columns: those that it reads.
    """

    source: str
    sql_type: str
    columns: frozenset[str]
    _part: Part

    @classmethod
    def parse(cls, source: str, sql_type: str, types: Mapping[str, str]) -> Expression:
        """Read an expression.

        Args:
            source: the text.
            sql_type: of the column that it computes, as DDL spells it.
            types: of the columns that it may read, by name.

        Raises:
            ExpressionError: it is not of the language, or its value does not fit the column.
        """
        try:
            tree = ast.parse(source.strip(), mode="eval")
            reader = Reader(source.strip(), types)
            part = reader.read(tree.body)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            if isinstance(error, ExpressionError):
                raise
            raise ExpressionError(f"{source!r} is not an expression: {_reason(error)}") from error
        wanted = kind_of(sql_type)
        if wanted is None:
            raise ExpressionError(
                f"{source!r} cannot compute a column of type {sql_type}: only numbers, texts, booleans"
            )
        if part.kind is not wanted:
            raise ExpressionError(f"{source!r} is a {part.kind}, and the column is a {wanted} ({sql_type})")
        return cls(source, sql_type, frozenset(reader.columns), part)

    def value(self, row: Row) -> Any:
        """Compute the column's JSON value from a row or state; numbers with a fraction come as ``Decimal``.

        Raises:
            ExpressionError: the value does not fit the column's type.
        """
        found = self._part.value(row)
        return None if found is None else fit(found, self.sql_type, self.source)

    def sql(self, state: str) -> str:
        """Write the column's value as SQL of its type.

        Args:
            state: a ``jsonb`` expression, short, since it is written many times.
        """
        return f"({self._part.sql(state)})::{self.sql_type}"


def _reason(error: BaseException) -> str:
    return (
        str(error.args[0]) if isinstance(error, (SyntaxError, ValueError)) and error.args else "it is nested too deeply"
    )
