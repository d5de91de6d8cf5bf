"""``Point``: a place as (latitude, longitude) in Python, and PostgreSQL's own ``point`` in the database."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any

from sqlalchemy import Dialect
from sqlalchemy.types import UserDefinedType

from lithair_sqla.errors import OptionError

__all__ = ["Point", "check_place"]


def check_place(place: Any) -> tuple[float, float]:
    """Return a place as two floats.

    Args:
        place: latitude and longitude in degrees.

    Raises:
        OptionError: it is no such pair.
    """
    try:
        latitude, longitude = (float(part) for part in place)
    except (TypeError, ValueError):
        raise OptionError(f"a place is (latitude, longitude) in degrees, not {place!r}") from None
    if not (isfinite(latitude) and isfinite(longitude) and abs(latitude) <= 90 and abs(longitude) <= 180):  # noqa: PLR2004
        raise OptionError(f"a place is (latitude, longitude) within ±90 and ±180 degrees, not {place!r}")
    return latitude, longitude


class Point(UserDefinedType[tuple[float, float]]):
    """A column of places: ``location: Mapped[tuple[float, float] | None] = mapped_column(Point)``.

    The database holds ``point(longitude, latitude)``, x before y, as its own functions on maps expect it. SQLAlchemy
    does not know the type when it reflects a table, and Alembic's autogenerate warns of it: ignore that.
    """

    cache_ok = True

    @property
    def python_type(self) -> type[tuple[float, float]]:
        """The type of values."""
        return tuple

    def get_col_spec(self, **_: Any) -> str:
        """Spell it for DDL."""
        return "point"

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], str | None]:  # noqa: ARG002 - SQLAlchemy's signature  # pyright: ignore[reportIncompatibleMethodOverride]
        """Write a place as the database does."""

        def process(value: Any) -> str | None:
            if value is None:
                return None
            latitude, longitude = check_place(value)
            return f"({longitude!r},{latitude!r})"

        return process

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], tuple[float, float] | None]:  # noqa: ARG002  # pyright: ignore[reportIncompatibleMethodOverride]
        """Read a place."""

        def process(value: Any) -> tuple[float, float] | None:
            if value is None:
                return None
            longitude, latitude = value.strip("()").split(",")
            return float(latitude), float(longitude)

        return process
