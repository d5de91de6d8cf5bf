"""Generated finders: ``Product.find_by_name(session, "tea")``, ``Product.find_by_price_range(session, 5, 10)``.

They are put on an event-sourced class when it is mapped, one for each column and one more for each that has an order,
unless the class has something of that name already. Each is a thin door to the query builder.
"""

from __future__ import annotations

from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import event
from sqlalchemy.orm import Mapper, Session

from lithair_sqla.codec.sealing import Encrypted
from lithair_sqla.model.declarative import EventSourced
from lithair_sqla.query.builder import ModelQuery

__all__ = ["add_finders"]

_ORDERED: Final = (int, float, Decimal, date, time, timedelta, str)


@event.listens_for(EventSourced, "after_mapper_constructed", propagate=True)
def _mapped(mapper: Mapper[Any], _: type) -> None:
    add_finders(mapper)


def add_finders(mapper: Mapper[Any]) -> None:
    """Give a mapped class its finders."""
    class_ = mapper.class_
    for column in mapper.columns:
        # Not mapper.column_attrs, which would configure all mappers in the middle of a class's making.
        key = mapper.get_property_by_column(column).key
        if isinstance(column.type, Encrypted) and not column.type.searchable:
            continue
        _add(class_, f"find_by_{key}", _find_by(key))
        if _is_ordered(column.type):
            _add(class_, f"find_by_{key}_range", _find_by_range(key))


def _add(class_: type, name: str, function: Any) -> None:
    if not hasattr(class_, name):
        function.__name__ = name
        function.__qualname__ = f"{class_.__qualname__}.{name}"
        setattr(class_, name, classmethod(function))


def _is_ordered(type_: Any) -> bool:
    if isinstance(type_, Encrypted):
        return False
    try:
        python_type = type_.python_type
    except NotImplementedError:
        return False
    return issubclass(python_type, _ORDERED) and python_type is not bool


def _find_by(key: str) -> Any:
    def find(cls: type, session: Session, value: Any, *, limit: int | None = None) -> list[Any]:
        found: ModelQuery[Any] = ModelQuery(session=session, model=cls).where_field(key).equals(value)
        return (found if limit is None else found.limit(limit)).execute()

    find.__doc__ = f"Return the objects whose ``{key}`` is a value, at most ``limit`` of them."
    return find


def _find_by_range(key: str) -> Any:
    def find(cls: type, session: Session, low: Any, high: Any, *, limit: int | None = None) -> list[Any]:
        found: ModelQuery[Any] = (
            ModelQuery(session=session, model=cls).where_field(key).between(low, high).order_by(key)
        )
        return (found if limit is None else found.limit(limit)).execute()

    find.__doc__ = f"Return the objects whose ``{key}`` is in a range, ends included, in its order."
    return find
