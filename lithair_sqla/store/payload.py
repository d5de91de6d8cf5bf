"""What may stand in an event, and how it is written: JSON that PostgreSQL's ``jsonb`` keeps exactly.

=================================  ===================================================================================
Python                             in the event
=================================  ===================================================================================
``str``, ``bool``, ``None``        as they are
``int``                            a number of any size up to 4,300 digits
``float``                          a number; NaN and the infinities are refused. One without a fraction and of 1e16 or
                                   more comes back as an ``int``
``Decimal``                        a number, digit for digit, trailing zeros included (read it back with
                                   ``exact_numbers=True``); NaN and the infinities are refused
``UUID``                           a string
``datetime``, ``date``, ``time``   a string in ISO 8601, with the offset where there is one
``timedelta``                      a string in ISO 8601, ``PT1H30M``
``bytes``                          a string in base64
``Enum``                           its value
``dict`` or any ``Mapping``        an object; its keys must be ``str``
``list``, ``tuple``                an array
=================================  ===================================================================================

Everything else is refused: a set has no order, and what an object of your own looks like in ten years is yours to say.
Strings must not hold the NUL character nor half of a surrogate pair, which PostgreSQL cannot store.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from math import isfinite
from types import NoneType
from typing import Any, Final
from uuid import UUID

import msgspec

__all__ = ["MAX_DEPTH", "Decode", "UnfitError", "decoder", "encode_object"]

MAX_DEPTH: Final = 100
"""How deeply objects and arrays may be nested in one another."""

_MAX_DIGITS: Final = 4_000
"""Digits before or after the point of a ``Decimal``: Python reads no longer integer back."""

_PLAIN: Final[frozenset[type]] = frozenset({str, int, bool, NoneType, UUID, datetime, date, time, timedelta, bytes})
_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


class UnfitError(ValueError):
    """A value that cannot stand in an event; whoever knows the event says which one it was."""

    def __init__(self, reason: str, *path: object) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = list(path)

    def __str__(self) -> str:
        """Name the place, outermost key first, and the reason."""
        return f"{'.'.join(map(str, self.path))}: {self.reason}" if self.path else self.reason


def encode_object(value: Any) -> bytes:
    """Write a mapping as a JSON object.

    Raises:
        UnfitError: a value that JSON or ``jsonb`` cannot carry.
    """
    try:
        _check_mapping(value, 1)
        text = _ENCODER.encode(value)
    except UnfitError:
        raise
    except (AttributeError, TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        reason = str(error) if isinstance(value, Mapping) else f"a mapping is needed, not {type(value).__name__}"
        raise UnfitError(reason) from error
    if b"\\u0000" in text and _NUL.search(text):
        raise UnfitError("it holds a NUL character, which PostgreSQL's jsonb cannot store")
    return text


def _check_mapping(value: Mapping[Any, Any], depth: int) -> None:
    if depth > MAX_DEPTH:
        raise UnfitError(f"it is nested deeper than {MAX_DEPTH} levels")
    for key, item in value.items():
        # The common case first: this loop runs for every field of every event.
        kind = type(item)
        if type(key) is str and (kind in _PLAIN or (kind is float and isfinite(item))):
            continue
        if not isinstance(key, str):
            raise UnfitError(f"the key {key!r} is not a string")
        _check(key, item, depth)


def _check_items(value: Iterable[Any], depth: int) -> None:
    if depth > MAX_DEPTH:
        raise UnfitError(f"it is nested deeper than {MAX_DEPTH} levels")
    for index, item in enumerate(value):
        if type(item) not in _PLAIN:
            _check(index, item, depth)


def _check(place: str | int, item: Any, depth: int) -> None:
    """Check what stands at one place of an object or an array, and add the place to the error's path."""
    try:
        check = _CHECKS.get(type(item)) or next(check for base, check in _CHECKS.items() if isinstance(item, base))
        check(item, depth + 1)
    except StopIteration:
        raise UnfitError(
            f"a value of type {type(item).__name__} has no form in an event: give a dict, a list, a string or a number",
            place,
        ) from None
    except UnfitError as error:
        error.path.insert(0, place)
        raise


def _check_float(value: float, _: int) -> None:
    if not isfinite(value):
        raise UnfitError(f"{value} is no number in JSON")


def _check_decimal(value: Decimal, _: int) -> None:
    if not value.is_finite():
        raise UnfitError(f"{value} is no number in JSON")
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and (value.adjusted() > _MAX_DIGITS or exponent < -_MAX_DIGITS):
        raise UnfitError(f"it has more than {_MAX_DIGITS:,} digits before or after the point")


def _check_enum(value: Enum, depth: int) -> None:
    _check("value", value.value, depth)


def _check_nothing(_: Any, __: int) -> None:
    """Be content: all values of these types have a form in JSON."""


_CHECKS: Final[dict[type, Callable[[Any, int], None]]] = {
    Enum: _check_enum,
    float: _check_float,
    Decimal: _check_decimal,
    list: _check_items,
    tuple: _check_items,
    dict: _check_mapping,
    Mapping: _check_mapping,
    **dict.fromkeys(_PLAIN, _check_nothing),
}
"""How a value is checked that is of none of the plain types itself: by its type, else by the first that is its base."""


def _plain(value: Any) -> Any:
    """Turn an object of a subclass, which msgspec does not take, into what it stands for."""
    match value:
        case str():
            return str.__str__(value)
        case int():
            return int(value)
        case float():
            return float(value)
        case Decimal():
            return Decimal(value)
        case bytes():
            return bytes(value)
        case Mapping():
            return dict(value)
        case _:
            raise TypeError(f"a value of type {type(value).__name__} has no form in an event")


_ENCODER: Final = msgspec.json.Encoder(decimal_format="number", enc_hook=_plain)
_FLOATS: Final = msgspec.json.Decoder(dict[str, Any])
_DECIMALS: Final = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)


class Decode:
    """Reads JSON objects back from the database's text.

    Attributes:
        exact: numbers with a fraction come as ``Decimal``, else as ``float``.
    """

    __slots__ = ("_decode", "exact")

    def __init__(self, *, exact: bool) -> None:
        self.exact = exact
        self._decode = (_DECIMALS if exact else _FLOATS).decode

    def __call__(self, text: str) -> dict[str, Any]:
        """Read one object."""
        try:
            return self._decode(text)
        except msgspec.MsgspecError:
            # A column's numeric may hold what no float and no int can: such numbers come as Decimal.
            found: dict[str, Any] = json.loads(text, parse_float=self._number, parse_int=_integer)
            return found

    def _number(self, text: str) -> float | Decimal:
        number = float(text)
        return Decimal(text) if self.exact or not isfinite(number) else number


def _integer(text: str) -> int | Decimal:
    return int(text) if len(text) <= _MAX_DIGITS else Decimal(text)


_EXACT: Final = Decode(exact=True)
_FAST: Final = Decode(exact=False)


def decoder(*, exact: bool) -> Decode:
    """Return the reader of JSON objects; with ``exact``, a number with a fraction comes as ``Decimal``."""
    return _EXACT if exact else _FAST
