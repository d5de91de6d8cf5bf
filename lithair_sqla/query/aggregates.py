"""What a projection computes of a group of events: ``Sum("quantity")``, ``Count()`` and the like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, literal
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, aggregate_order_by

from lithair_sqla.errors import QueryError

__all__ = ["Aggregate", "Avg", "Count", "First", "Last", "Max", "Min", "Percentile", "Sum"]


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One figure of each group.

    Attributes:
        field: of the events' payload or data.
        name: what it is called in the answer; ``None`` is made of the word and the field: ``sum_quantity``.
    """

    field: str
    name: str | None = None

    @property
    def label(self) -> str:
        """What it is called in the answer."""
        return self.name or f"{type(self).__name__.lower()}_{self.field.rpartition('.')[2]}"

    def of(self, number: ColumnElement[Any], value: ColumnElement[Any], order: ColumnElement[Any]) -> Any:
        """Write it.

        Args:
            number: the field as a number.
            value: the field as JSON.
            order: the events' positions.
        """
        raise NotImplementedError


class Sum(Aggregate):
    """The sum."""

    def of(self, number: ColumnElement[Any], value: ColumnElement[Any], order: ColumnElement[Any]) -> Any:  # noqa: D102, ARG002
        return func.sum(number)


class Avg(Aggregate):
    """The mean."""

    def of(self, number: ColumnElement[Any], value: ColumnElement[Any], order: ColumnElement[Any]) -> Any:  # noqa: D102, ARG002
        return func.avg(number)


class Min(Aggregate):
    """The least."""

    def of(self, number: ColumnElement[Any], value: ColumnElement[Any], order: ColumnElement[Any]) -> Any:  # noqa: D102, ARG002
        return func.min(number)


class Max(Aggregate):
    """The greatest."""

    def of(self, number: ColumnElement[Any], value: ColumnElement[Any], order: ColumnElement[Any]) -> Any:  # noqa: D102, ARG002
        return func.max(number)


class First(Aggregate):
    """The value of the first event that has one."""

    def of(self, number: ColumnElement[Any], value: ColumnElement[Any], order: ColumnElement[Any]) -> Any:  # noqa: D102, ARG002
        return _in_order(value, order.asc())


class Last(Aggregate):
    """The value of the last event that has one."""

    def of(self, number: ColumnElement[Any], value: ColumnElement[Any], order: ColumnElement[Any]) -> Any:  # noqa: D102, ARG002
        return _in_order(value, order.desc())


def _in_order(value: ColumnElement[Any], order: ColumnElement[Any]) -> Any:
    """Write the first value that is one, in an order of the events."""
    found = func.array_agg(aggregate_order_by(value, order), type_=ARRAY(JSONB)).filter(value.is_not(None))
    return func.to_jsonb(found, type_=JSONB)[0]


@dataclass(frozen=True, slots=True)
class Count(Aggregate):
    """How many events; of a field, how many have it, or how many different values there are.

    Attributes:
        distinct: count different values.
    """

    field: str = ""
    distinct: bool = False

    def __post_init__(self) -> None:
        """Refuse to count different events: each is different."""
        if self.distinct and not self.field:
            raise QueryError("Count(distinct=True) needs a field: events are all different")

    @property
    def label(self) -> str:
        """What it is called in the answer: ``events`` (a row's own ``count`` is a method), ``count_quantity``."""
        return self.name or (f"count_{self.field.rpartition('.')[2]}" if self.field else "events")

    def of(self, number: ColumnElement[Any], value: ColumnElement[Any], order: ColumnElement[Any]) -> Any:  # noqa: D102, ARG002
        if not self.field:
            return func.count()
        return func.count(value.distinct() if self.distinct else value)


@dataclass(frozen=True, slots=True)
class Percentile(Aggregate):
    """The value below which a part of the values lie, interpolated: 0.5 is the median.

    Attributes:
        part: from 0 to 1.
    """

    part: float = 0.5

    def __init__(self, field: str, part: float = 0.5, name: str | None = None) -> None:
        given: Any = part
        if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0 <= given <= 1:
            raise QueryError(f"Percentile({field!r}, …) takes a part from 0 to 1, not {part!r}")
        object.__setattr__(self, "field", field)
        object.__setattr__(self, "part", part)
        object.__setattr__(self, "name", name)

    @property
    def label(self) -> str:
        """What it is called in the answer: ``p95_price``."""
        return self.name or f"p{self.part * 100:g}_{self.field.rpartition('.')[2]}"

    def of(self, number: ColumnElement[Any], value: ColumnElement[Any], order: ColumnElement[Any]) -> Any:  # noqa: D102, ARG002
        return func.percentile_cont(literal(float(self.part))).within_group(number)
