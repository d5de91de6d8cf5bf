"""Which rows of a table can matter to a statement: those with the keys that its conditions name.

A past session folds whole streams, so knowing that only ``id = 42`` is asked for makes the difference between one and
all of them. What is gathered here is only ever used to leave out rows that the statement's own conditions would drop:
conjuncts of WHERE, and of ON where that is sound (both sides of an inner join; of a LEFT JOIN the right side alone),
followed through equalities of columns, as joined inheritance and joins on keys have them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Final, NamedTuple

from sqlalchemy import Table
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import BinaryExpression, BindParameter, BooleanClauseList, ColumnClause, Grouping, Tuple
from sqlalchemy.sql.selectable import Alias, Join
from sqlalchemy.types import TypeDecorator

__all__ = ["Narrowing", "Scope", "Term", "narrowings"]

_MOST_KEYS: Final = 10_000


@dataclass(frozen=True, slots=True, eq=False)
class Scope:
    """One select of a statement: what stands in its FROM, and its WHERE."""

    froms: tuple[Any, ...]
    where: Any


class Term(NamedTuple):
    """Where the values that a column is held to come from.

    Attributes:
        name: of the parameter.
        many: its value is a list.
        place: its values are tuples, and this is the place in them.
    """

    name: str
    many: bool
    place: int | None


@dataclass(frozen=True, slots=True)
class Narrowing:
    """What holds the rows of one table that can matter.

    Attributes:
        references: for each place where the table stands, the columns that are held to values.
    """

    references: tuple[Mapping[str, Term], ...]

    def keys(self, columns: Sequence[str], values: Mapping[str, Any]) -> list[tuple[Any, ...]] | None:
        """Return the keys of all rows that can matter; ``None`` where they are not held by their key, or too many.

        Args:
            columns: names of the key's columns.
            values: of the statement's parameters.
        """
        found: dict[tuple[Any, ...], None] = {}
        for terms in self.references:
            if not all(column in terms for column in columns):
                return None
            for row in _rows([terms[column] for column in columns], values):
                if all(value is not None for value in row):
                    found[row] = None
                if len(found) > _MOST_KEYS:
                    return None
        return list(found)


def _rows(terms: Sequence[Term], values: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Combine the values of the key's columns; columns held by one parameter go together."""
    names = list(dict.fromkeys(term.name for term in terms))
    several = {term.name for term in terms if term.many}
    choices = [list(values[name] or ()) if name in several else [values[name]] for name in names]
    for chosen in product(*choices):
        at = dict(zip(names, chosen, strict=True))
        yield tuple(at[term.name] if term.place is None else at[term.name][term.place] for term in terms)


class _Held(NamedTuple):
    parameter: BindParameter[Any]
    many: bool
    place: int | None


_Place = tuple[Any, str]
"""A column of what stands in a FROM: (table or alias, name)."""


@dataclass(slots=True)
class _Facts:
    """What is known of one scope's columns."""

    references: list[Any] = field(default_factory=list)
    held: dict[_Place, _Held] = field(default_factory=dict)
    follows: list[tuple[_Place, _Place]] = field(default_factory=list)

    def add_from(self, element: Any) -> list[Any]:
        """Take in an element of FROM; answers the tables and aliases that it consists of."""
        if isinstance(element, Join):
            left, right = self.add_from(element.left), self.add_from(element.right)
            if not element.full:
                self._add_conditions(
                    element.onclause, both=left + right, held=right if element.isouter else left + right
                )
            return left + right
        if _table_of(element) is None:
            return []
        self.references.append(element)
        return [element]

    def add_where(self, where: Any) -> None:
        """Take in the WHERE, whose conditions hold for every row."""
        self._add_conditions(where, both=self.references, held=self.references)

    def _add_conditions(self, condition: Any, *, both: list[Any], held: list[Any]) -> None:
        for conjunct in _conjuncts(condition):
            for place, parameter in _parameters(conjunct):
                if place[0] in held:
                    self.held.setdefault(place, parameter)
            pair = _equal_columns(conjunct)
            if pair is not None:
                for source, target in (pair, pair[::-1]):
                    if source[0] in both and target[0] in held:
                        self.follows.append((source, target))

    def settle(self) -> None:
        """Carry what is known of a column to those that equal it."""
        changed = True
        while changed:
            changed = False
            for source, target in self.follows:
                if source in self.held and target not in self.held:
                    self.held[target] = self.held[source]
                    changed = True


def narrowings(
    scopes: Sequence[Scope], seen: Mapping[Table, int], names: Mapping[BindParameter[Any], str]
) -> dict[Table, Narrowing]:
    """Tell of which tables only certain rows can matter.

    Args:
        scopes: every select of the statement.
        seen: how often each table stands in the statement: a place that no scope accounts for reads all of it.
        names: of the statement's parameters.
    """
    found: dict[Table, list[Mapping[str, Term]]] = {}
    for scope in scopes:
        facts = _Facts()
        for element in scope.froms:
            facts.add_from(element)
        facts.add_where(scope.where)
        facts.settle()
        for reference in facts.references:
            terms = {
                column: Term(names[held.parameter], held.many, held.place)
                for (place, column), held in facts.held.items()
                if place == reference and held.parameter in names
            }
            found.setdefault(_table_of(reference), []).append(terms)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    return {
        table: Narrowing(tuple(references))
        for table, references in found.items()
        if len(references) == seen[table] and all(references)
    }


def _table_of(element: Any) -> Table | None:
    inner = element.element if isinstance(element, Alias) else element
    return inner._deannotate() if isinstance(inner, Table) else None  # noqa: SLF001 - no public way


def _conjuncts(condition: Any) -> Iterator[Any]:
    if isinstance(condition, Grouping):
        yield from _conjuncts(condition.element)
    elif isinstance(condition, BooleanClauseList) and condition.operator is operators.and_:
        for part in condition.clauses:
            yield from _conjuncts(part)
    elif condition is not None:
        yield condition


def _parameters(conjunct: Any) -> Iterator[tuple[_Place, _Held]]:
    """Read ``column = :value``, ``column IN (:values)`` and ``(columns) IN (:tuples)``."""
    if not isinstance(conjunct, BinaryExpression):
        return
    left, right = _bare(conjunct.left), _bare(conjunct.right)
    if conjunct.operator is operators.eq:
        for column, value in ((left, right), (right, left)):
            place = _place(column)
            if place is not None and isinstance(value, BindParameter) and _alike(column.type, value.type):
                yield place, _Held(value, many=False, place=None)
    elif conjunct.operator is operators.in_op and isinstance(right, BindParameter) and right.expanding:
        place = _place(left)
        if place is not None and _alike(left.type, right.type):
            yield place, _Held(right, many=True, place=None)
        elif isinstance(left, Tuple):
            for position, column in enumerate(left.clauses):
                place = _place(column)
                if place is not None:
                    yield place, _Held(right, many=True, place=position)


def _equal_columns(conjunct: Any) -> tuple[_Place, _Place] | None:
    if isinstance(conjunct, BinaryExpression) and conjunct.operator is operators.eq:
        left, right = _bare(conjunct.left), _bare(conjunct.right)
        places = _place(left), _place(right)
        if places[0] is not None and places[1] is not None and _alike(left.type, right.type):
            return places[0], places[1]
    return None


def _bare(expression: Any) -> Any:
    return expression.element if isinstance(expression, Grouping) else expression


def _place(expression: Any) -> _Place | None:
    if isinstance(expression, ColumnClause) and not expression.is_literal and expression.table is not None:
        return expression.table, expression.name
    return None


def _alike(column: Any, value: Any) -> bool:
    """Tell whether a parameter's values mean, as values of the column's type, what they mean in the condition."""
    if isinstance(column, TypeDecorator) or isinstance(value, TypeDecorator):
        return type(column) is type(value)
    return column._type_affinity is value._type_affinity and column._type_affinity is not None  # noqa: SLF001
