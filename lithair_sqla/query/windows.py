"""Spans of time that a projection cuts its groups into: days of a time zone, or any length."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import ColumnElement, DateTime, Interval, Text, func, literal

from lithair_sqla.errors import QueryError
from lithair_sqla.query.fields import nearest

__all__ = ["Window", "window_of"]

_SPANS: Final = ("minute", "hour", "day", "week", "month", "quarter", "year")
_ORIGIN: Final = datetime(2001, 1, 1, tzinfo=UTC)  # a Monday, so that weeks of a timedelta are weeks


@dataclass(frozen=True, slots=True)
class Window:
    """A span of time.

    Attributes:
        span: a name, or a length.
        timezone: whose days.
    """

    span: str | timedelta
    timezone: str

    def of(self, moment: ColumnElement[Any]) -> ColumnElement[datetime]:
        """Write where the span begins that a moment lies in."""
        zoned = DateTime(timezone=True)
        if isinstance(self.span, timedelta):
            length, origin = literal(self.span, Interval), literal(_ORIGIN, zoned)
            return func.date_bin(length, moment, origin, type_=zoned)
        return func.date_trunc(literal(self.span, Text), moment, literal(self.timezone, Text), type_=zoned)


def window_of(span: Any, timezone: Any) -> Window:
    """Return a span of time.

    Raises:
        QueryError: there is no such span, or no such time zone.
    """
    if isinstance(span, timedelta):
        if span <= timedelta(0):
            raise QueryError(f"window(…) takes a span above zero, not {span}")
    elif span not in _SPANS:
        raise QueryError(f"window({span!r}) is no span of time: {nearest(str(span), _SPANS)}")
    try:
        ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        raise QueryError(f"window(…, timezone={timezone!r}) is no time zone, such as 'Europe/Paris'") from None
    return Window(span, timezone)
