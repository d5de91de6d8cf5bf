"""What may stand in an event, and what comes back."""

from __future__ import annotations

import math
from collections import ChainMap, OrderedDict, UserDict, namedtuple
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lithair_sqla.store.payload import MAX_DEPTH, UnfitError, decoder, encode_object


class Colour(Enum):
    RED = "red"
    PRICE = Decimal("1.50")
    NAN = float("nan")
    NOTHING = object()


class Size(IntEnum):
    LARGE = 3


class Word(StrEnum):
    KEY = "key"


class Name(str):
    __slots__ = ()


class Number(int):
    pass


Point = namedtuple("Point", "x y")  # noqa: PYI024 - a tuple of any kind will do


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ('ü \U0001f600 " \\ / \n \x01', '"ü \U0001f600 \\" \\\\ / \\n \\u0001"'),
        ("\\u0000", '"\\\\u0000"'),
        (None, "null"),
        (True, "true"),
        (2**80, "1208925819614629174706176"),
        (-1.5, "-1.5"),
        (1e300, "1e300"),
        (Decimal("12.500"), "12.500"),
        (Decimal("1E+3"), "1E+3"),
        (Decimal("-0"), "-0"),
        (UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (datetime(2026, 1, 2, 3, 4, 5, 600_000, tzinfo=UTC), '"2026-01-02T03:04:05.600000Z"'),
        (datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=2))), '"2026-01-02T00:00:00+02:00"'),
        (datetime(2026, 1, 2), '"2026-01-02T00:00:00"'),  # noqa: DTZ001 - naive ones stay so
        (date(2026, 1, 2), '"2026-01-02"'),
        (time(1, 2, 3), '"01:02:03"'),
        (timedelta(hours=1, minutes=30), '"PT5400S"'),
        (b"\x00\xff", '"AP8="'),
        (Colour.RED, '"red"'),
        (Colour.PRICE, "1.50"),
        (Size.LARGE, "3"),
        (Word.KEY, '"key"'),
        (Name("ana"), '"ana"'),
        (Number(7), "7"),
        ([1, [2.5, (3,)]], "[1,[2.5,[3]]]"),
        (Point(1, 2), "[1,2]"),
        (OrderedDict(a=1), '{"a":1}'),
        (MappingProxyType({"a": UserDict({"b": [Name("x")]})}), '{"a":{"b":["x"]}}'),
        (ChainMap({"a": 1}), '{"a":1}'),
        ({Word.KEY: 1}, '{"key":1}'),
    ],
)
def test_how_a_value_is_written(value: Any, text: str) -> None:
    assert encode_object({"v": value}).decode() == f'{{"v":{text}}}'


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"v": math.nan}, "v: nan is no number in JSON"),
        ({"v": [1, {"w": -math.inf}]}, "v.1.w: -inf is no number in JSON"),
        ({"v": Decimal("NaN")}, "v: NaN is no number in JSON"),
        ({"v": Decimal("sNaN")}, "v: sNaN is no number in JSON"),
        ({"v": Decimal("-Infinity")}, "v: -Infinity is no number in JSON"),
        ({"v": Decimal("1E+4001")}, "v: it has more than 4,000 digits"),
        ({"v": Decimal("1E-4001")}, "v: it has more than 4,000 digits"),
        ({"v": 10**5000}, "digits"),
        ({"v": {1: 2}}, "v: the key 1 is not a string"),
        ({None: 2}, "the key None is not a string"),
        ({UUID(int=1): 2}, "is not a string"),
        ({"v": {"a", "b"}}, "v: a value of type set has no form in an event"),
        ({"v": object()}, "v: a value of type object has no form"),
        ({"v": complex(1, 2)}, "v: a value of type complex has no form"),
        ({"v": range(3)}, "v: a value of type range has no form"),
        ({"v": bytearray(b"x")}, "v: a value of type bytearray has no form"),
        ({"v": Colour.NAN}, "v.value: nan is no number in JSON"),
        ({"v": Colour.NOTHING}, "v.value: a value of type object has no form"),
        ({"v": "a\0b"}, "NUL"),
        ({"v": {"a\0": 1}}, "NUL"),
        ({"v": "\\\0"}, "NUL"),
        ({"v": "\ud800"}, "surrogates not allowed"),
        ("text", "a mapping is needed, not str"),
        ([("a", 1)], "a mapping is needed, not list"),
        (None, "a mapping is needed, not NoneType"),
    ],
)
def test_what_has_no_form_is_refused_with_its_place(value: Any, reason: str) -> None:
    with pytest.raises(UnfitError) as caught:
        encode_object(value)
    assert reason in str(caught.value)


@pytest.mark.parametrize("wrap", [lambda inner: {"a": inner}, lambda inner: {"a": [inner]}])
def test_nesting_has_a_bound(wrap: Any) -> None:
    def nested(levels: int) -> Any:
        value: Any = {"a": 1}
        while levels > 1:
            outer = wrap(value)
            levels -= 1 + isinstance(outer["a"], list)
            value = outer
        return value

    encode_object(nested(MAX_DEPTH - 1))
    with pytest.raises(UnfitError, match="nested deeper than 100 levels"):
        encode_object(nested(MAX_DEPTH + 2))
    endless: dict[str, Any] = {}
    endless["a"] = endless
    with pytest.raises(UnfitError, match="nested deeper"):
        encode_object(endless)


def test_a_number_that_no_float_holds_is_read_as_decimal() -> None:
    huge = "1" + "0" * 400 + ".5"
    text = f'{{"x": {huge}, "y": [0.5, {"9" * 5000}], "z": 3}}'
    assert decoder(exact=False)(text) == {"x": Decimal(huge), "y": [0.5, Decimal("9" * 5000)], "z": 3}
    assert decoder(exact=True)(text) == {"x": Decimal(huge), "y": [Decimal("0.5"), Decimal("9" * 5000)], "z": 3}


_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
_SCALARS = st.none() | st.booleans() | st.integers() | _TEXT | st.floats(allow_nan=False, allow_infinity=False)
_OBJECTS = st.dictionaries(
    _TEXT, st.recursive(_SCALARS, lambda inner: st.lists(inner) | st.dictionaries(_TEXT, inner), max_leaves=20)
)


@given(_OBJECTS)
def test_what_was_written_is_what_is_read(value: dict[str, Any]) -> None:
    assert decoder(exact=False)(encode_object(value).decode()) == value


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_a_decimal_comes_back_digit_for_digit(value: Decimal) -> None:
    [read] = decoder(exact=True)(encode_object({"v": value}).decode()).values()
    assert read == value
    if isinstance(read, Decimal):
        assert read.as_tuple() == value.as_tuple()
