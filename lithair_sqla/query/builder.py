"""``query(session)``: the seed's way to ask the models, which builds an ordinary ``select()``.

::

    query(session).stream_type(Product).where_field("price").between(5, 10).order_by("price", desc=True).execute()

Each step answers with a new query and leaves the old one as it was, so that a half-built one can be kept and gone on
with in two directions. ``.statement`` shows the ``select()``, to be looked at, or to be gone on with by hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import Session

from lithair_sqla.errors import QueryError
from lithair_sqla.query import search
from lithair_sqla.query.fields import attribute_of, check_count, check_value

__all__ = ["FieldCondition", "ModelQuery"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelQuery(Generic[T]):
    """A query for objects of one class.

    Attributes:
        session: where it runs; one on the past (``as_of``) answers with the past.
        model: the class.
        conditions: all of which must hold.
        orders: what the objects are sorted by.
        most: at most so many; ``None`` is all.
        skipped: so many are left out first.
    """

    session: Session
    model: type[T]
    conditions: tuple[ColumnElement[bool], ...] = ()
    orders: tuple[ColumnElement[Any], ...] = ()
    most: int | None = None
    skipped: int = 0

    def where_field(self, name: str) -> FieldCondition[T]:
        """Begin a condition on a field; the next step says which.

        Raises:
            QueryError: the class has no such field; suggests the nearest.
        """
        attribute_of(self.model, name)
        return FieldCondition(self, name)

    def where(self, *conditions: ColumnElement[bool]) -> ModelQuery[T]:
        """Add conditions written in SQLAlchemy."""
        return replace(self, conditions=(*self.conditions, *conditions))

    def order_by(self, name: str, *, desc: bool = False) -> ModelQuery[T]:
        """Sort by a field, after those given before.

        Raises:
            QueryError: the class has no such field.
        """
        attribute = attribute_of(self.model, name)
        return replace(self, orders=(*self.orders, attribute.desc() if desc else attribute.asc()))

    def limit(self, most: int) -> ModelQuery[T]:
        """Take at most so many.

        Raises:
            QueryError: not a number of rows.
        """
        return replace(self, most=check_count("limit", most, least=0))

    def offset(self, skipped: int) -> ModelQuery[T]:
        """Leave out so many first.

        Raises:
            QueryError: not a number of rows.
        """
        return replace(self, skipped=check_count("offset", skipped, least=0))

    @property
    def statement(self) -> Select[Any]:
        """The query as SQLAlchemy's."""
        made: Select[Any] = select(self.model).where(*self.conditions).order_by(*self.orders)
        if self.most is not None:
            made = made.limit(self.most)
        return made.offset(self.skipped) if self.skipped else made

    def execute(self) -> list[T]:
        """Return the objects."""
        return list(self.session.scalars(self.statement).unique())

    def first(self) -> T | None:
        """Return the first object, or ``None``."""
        return self.session.scalars(self.limit(1).statement).unique().first()

    def count(self) -> int:
        """Return how many objects there are."""
        inner = self.statement.order_by(None).subquery()
        return self.session.scalar(select(func.count()).select_from(inner)) or 0

    def stream(self, *, page: int = 1_000) -> Iterator[T]:
        """Yield the objects, ``page`` of them in memory at a time."""
        check_count("stream", page, least=1)
        yield from self.session.scalars(self.statement.execution_options(yield_per=page))


@dataclass(frozen=True, slots=True)
class FieldCondition(Generic[T]):
    """A condition that waits for its verb."""

    query: ModelQuery[T]
    name: str

    def equals(self, value: Any) -> ModelQuery[T]:
        """Keep objects whose field is the value; ``None`` is SQL's NULL."""
        return self.query.where(self._attribute == self._value(value))

    def not_equals(self, value: Any) -> ModelQuery[T]:
        """Keep objects whose field is another value (or none: NULL is not equal)."""
        value = self._value(value)
        return self.query.where(self._attribute.is_not(None) if value is None else self._attribute != value)

    def between(self, low: Any, high: Any) -> ModelQuery[T]:
        """Keep objects whose field is in a range, both ends included."""
        return self.query.where(self._attribute.between(self._bound(low), self._bound(high)))

    def less_than(self, value: Any) -> ModelQuery[T]:
        """Keep objects whose field is below."""
        return self.query.where(self._attribute < self._bound(value))

    def at_most(self, value: Any) -> ModelQuery[T]:
        """Keep objects whose field is below or equal."""
        return self.query.where(self._attribute <= self._bound(value))

    def greater_than(self, value: Any) -> ModelQuery[T]:
        """Keep objects whose field is above."""
        return self.query.where(self._attribute > self._bound(value))

    def at_least(self, value: Any) -> ModelQuery[T]:
        """Keep objects whose field is above or equal."""
        return self.query.where(self._attribute >= self._bound(value))

    def in_(self, values: Iterable[Any]) -> ModelQuery[T]:
        """Keep objects whose field is one of some values."""
        if isinstance(values, (str, bytes)):
            raise QueryError(f"{self._place}: in_(…) takes several values, not one text")
        return self.query.where(self._attribute.in_([self._bound(value) for value in values]))

    def starts_with(self, text: str) -> ModelQuery[T]:
        """Keep objects whose field begins with a text, taken letter for letter."""
        return self.query.where(self._attribute.startswith(self._bound(text), autoescape=True))

    def is_null(self) -> ModelQuery[T]:
        """Keep objects whose field is NULL."""
        return self.query.where(self._attribute.is_(None))

    def matches(self, words: str, *, language: str | None = None) -> ModelQuery[T]:
        """Keep objects whose text holds some words; see ``matches``."""
        return self.query.where(search.matches(self._attribute, words, language=language))

    def near(self, place: tuple[float, float], km: float) -> ModelQuery[T]:
        """Keep objects within a distance of a place; see ``near``."""
        return self.query.where(search.near(self._attribute, place, km))

    @property
    def _attribute(self) -> Any:
        return attribute_of(self.query.model, self.name)

    @property
    def _place(self) -> str:
        return f"{self.query.model.__name__}.{self.name}"

    def _value(self, value: Any) -> Any:
        return check_value(self.query.model, self.name, value)

    def _bound(self, value: Any) -> Any:
        if value is None:
            raise QueryError(f"{self._place}: nothing is below, above or among NULL; is_null() finds it")
        return self._value(value)
