"""Conditions that the indexes of words and of places answer: ``matches``, ``near``.

::

    session.scalars(select(Product).where(matches(Product.description, "thé -vert")))
    session.scalars(select(Shop).where(near(Shop.location, (48.85, 2.35), 5)))
"""

from __future__ import annotations

from math import asin, cos, degrees, radians, sin
from typing import Any, Final

from sqlalchemy import ColumnElement, Float, String, and_, func, literal, or_, text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.visitors import InternalTraversal
from sqlalchemy.types import UserDefinedType

from lithair_sqla.codec.point import Point, check_place
from lithair_sqla.errors import OptionError
from lithair_sqla.options.columns import IndexColumn
from lithair_sqla.schema.indexes import INDEXES_KEY, configuration_of, text_columns, text_vector

__all__ = ["distance_km", "matches", "near"]

_EARTH_KM: Final = 6371.0088  # mean radius (IUGG)
_QUARTER: Final = 90.0
_HALF: Final = 180.0


class _Box(UserDefinedType[str]):
    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "box"


def matches(column: Any, words: str, *, language: str | None = None) -> ColumnElement[bool]:
    """Write the condition that a text holds some words, in whatever form its language gives them.

    Args:
        column: an attribute of a class (or of an alias), or a column.
        words: as people type them into a search: ``thé noir``, ``"thé noir"``, ``thé or café``, ``thé -vert``.
        language: ``fr``, or a text search configuration; ``None`` takes that of the column's
            ``index("full_text", language=…)``.

    Raises:
        OptionError: not a column of text, or a language that is none.
    """
    expression, option = _resolve(column)
    if not isinstance(expression.type, String):
        raise OptionError(f"matches({_name(expression)}, …) is for texts, not for {expression.type!r}")
    if not isinstance(words, str):
        raise OptionError(f"matches({_name(expression)}, …) takes words as one text, not {words!r}")
    columns: list[ColumnElement[Any]] = [expression]
    if option is not None and option.type == "full_text":
        language = option.language if language is None else language
        columns = text_columns(expression.table, expression.name, option)
    configuration = text(f"'{configuration_of(language)}'::regconfig")
    query = func.websearch_to_tsquery(configuration, words)
    return text_vector(columns, language).bool_op("@@")(query)


def near(column: Any, place: tuple[float, float], km: float) -> ColumnElement[bool]:
    """Write the condition that a place lies within a distance of another.

    The index finds the box around the circle; what lies in it is then measured, as exactly as the column's
    ``index("geo_spatial", precision=…)`` asks for.

    Args:
        column: of type ``Point``.
        place: latitude and longitude in degrees.
        km: the distance, more than 0.

    Raises:
        OptionError: not a column of places, not a place, or not a distance.
    """
    expression, option = _resolve(column)
    _check_point(expression, "near")
    latitude, longitude = check_place(place)
    number: Any = km
    if not isinstance(number, (int, float)) or isinstance(number, bool) or not 0 < number < float("inf"):
        raise OptionError(f"near({_name(expression)}, …, km) takes a distance above 0, not {km!r}")
    boxes = [
        expression.bool_op("<@")(func.box(_corner(low), _corner(high), type_=_Box()))
        for low, high in _boxes(latitude, longitude, km)
    ]
    inside = or_(*boxes)
    precision = "high" if option is None or option.precision is None else option.precision
    if precision == "low":
        return inside
    measured = _on_a_plane if precision == "medium" else _on_the_globe
    return and_(inside, measured(expression, latitude, longitude) <= km)


def distance_km(column: Any, place: tuple[float, float]) -> ColumnElement[float]:
    """Write the distance between two places on the globe in kilometres, to sort by or to show.

    Args:
        column: of type ``Point``.
        place: latitude and longitude in degrees.

    Raises:
        OptionError: not a column of places, or not a place.
    """
    expression, _ = _resolve(column)
    _check_point(expression, "distance_km")
    return _on_the_globe(expression, *check_place(place))


def _resolve(column: Any) -> tuple[Any, IndexColumn | None]:
    """Return a column as it stands in the statement, and the index option that it has."""
    element: Any = column.__clause_element__() if hasattr(column, "__clause_element__") else column
    if getattr(element, "table", None) is None:
        raise OptionError(f"a column is needed, such as Product.description, not {column!r}")
    for base in element.base_columns:
        option = getattr(base, "table", None)
        if option is not None and (found := option.info.get(INDEXES_KEY, {}).get(getattr(base, "key", None))):
            return element, found
    return element, None


def _name(element: Any) -> str:
    return f"{element.table.name}.{element.name}"


def _check_point(element: Any, word: str) -> None:
    if not isinstance(element.type, Point):
        raise OptionError(f"{word}({_name(element)}, …) is for places (type Point), not for {element.type!r}")


def _corner(place: tuple[float, float]) -> ColumnElement[Any]:
    latitude, longitude = place
    return func.point(literal(longitude, Float), literal(latitude, Float), type_=Point())


def _boxes(latitude: float, longitude: float, km: float) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Return the boxes, low and high corner, that hold every place within a distance: two across the date line.

    Source: bounding coordinates of a spherical circle; its widest meridians touch at asin(sin r / cos latitude).
    """
    angle = km / _EARTH_KM
    reach = degrees(angle)
    low, high = latitude - reach, latitude + reach
    if low <= -_QUARTER or high >= _QUARTER:  # a pole is inside, and every meridian with it
        return [((max(low, -_QUARTER), -_HALF), (min(high, _QUARTER), _HALF))]
    width = degrees(asin(min(1.0, sin(angle) / cos(radians(latitude)))))
    west, east = longitude - width, longitude + width
    if west < -_HALF:
        return [((low, west + 2 * _HALF), (high, _HALF)), ((low, -_HALF), (high, east))]
    if east > _HALF:
        return [((low, west), (high, _HALF)), ((low, -_HALF), (high, east - 2 * _HALF))]
    return [((low, west), (high, east))]


def _parts(element: Any) -> tuple[ColumnElement[float], ColumnElement[float]]:
    """Write latitude and longitude of a point: its subscripts 1 (y) and 0 (x)."""
    return _Part(element, 1), _Part(element, 0)


class _Part(ColumnElement[float]):
    """A coordinate of a point, ``(column)[0]``, which SQLAlchemy knows of arrays alone."""

    __visit_name__ = "lithair_point_part"
    inherit_cache = True
    _traverse_internals: Any = [  # noqa: RUF012 - SQLAlchemy's own way to say what a cache key is made of
        ("element", InternalTraversal.dp_clauseelement),
        ("place", InternalTraversal.dp_plain_obj),
    ]
    type = Float()

    def __init__(self, element: Any, place: int) -> None:
        self.element = element
        self.place = place


@compiles(_Part)
def _write_part(part: _Part, compiler: Any, **keywords: Any) -> str:
    return f"({compiler.process(part.element, **keywords)})[{part.place}]"


def _on_the_globe(element: Any, latitude: float, longitude: float) -> ColumnElement[float]:
    """Write the great-circle distance in km (haversine, which is exact for small distances too)."""
    there_latitude, there_longitude = _parts(element)
    half = func.power(func.sin(func.radians(there_latitude - latitude) / 2), 2) + literal(
        cos(radians(latitude)), Float
    ) * func.cos(func.radians(there_latitude)) * func.power(func.sin(func.radians(there_longitude - longitude) / 2), 2)
    distance: ColumnElement[float] = 2 * _EARTH_KM * func.asin(func.sqrt(func.least(1.0, half)), type_=Float())
    return distance


def _on_a_plane(element: Any, latitude: float, longitude: float) -> ColumnElement[float]:
    """Write the distance in km as if the globe were flat around the place."""
    there_latitude, there_longitude = _parts(element)
    apart = func.abs(there_longitude - longitude)
    across = func.least(apart, 2 * _HALF - apart) * cos(radians(latitude))
    squared = func.power(there_latitude - latitude, 2) + func.power(across, 2)
    distance: ColumnElement[float] = radians(1) * _EARTH_KM * func.sqrt(squared, type_=Float())
    return distance
