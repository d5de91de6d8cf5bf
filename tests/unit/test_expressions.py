"""The language of `computed_from`: what it accepts, and that Python and PostgreSQL give the same answers."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, example, given, settings
from sqlalchemy import Engine

from lithair_sqla.codec.expressions import Expression
from lithair_sqla.errors import ExpressionError

TYPES = {
    "price": "NUMERIC(12, 2)",
    "stock": "INTEGER",
    "big": "BIGINT",
    "rate": "FLOAT",
    "ratio": "NUMERIC",
    "name": "VARCHAR(20)",
    "note": "TEXT",
    "sold": "BOOLEAN",
    "day": "DATE",
}


def value(source: str, sql_type: str = "NUMERIC", /, **row: Any) -> Any:
    return Expression.parse(source, sql_type, TYPES).value(row)


@pytest.mark.parametrize(
    ("source", "row", "expected"),
    [
        ("price * 1.2", {"price": Decimal("10.00")}, Decimal("12.000")),
        ("price * 1.2", {"price": None}, None),
        ("price * 1.2", {}, None),
        ("0.1 + 0.2", {}, Decimal("0.3")),
        ("stock / 3", {"stock": 10}, Decimal("3.33333333333333333333")),
        ("stock / 3", {"stock": -10}, Decimal("-3.33333333333333333333")),
        ("stock / 0", {"stock": 10}, None),
        ("stock % 0", {"stock": 10}, None),
        ("-7 % 3", {}, Decimal(-1)),
        ("round(2.5)", {}, Decimal(3)),
        ("round(-2.5)", {}, Decimal(-3)),
        ("round(price * 1.005, 2)", {"price": 1}, Decimal("1.01")),
        ("coalesce(price, stock, 1)", {"stock": 4}, Decimal(4)),
        ("abs(-stock)", {"stock": 4}, Decimal(4)),
        ("length(name)", {"name": "é𝄞a"}, Decimal(3)),
        ("price if sold else 0", {"price": 3, "sold": None}, Decimal(0)),
        ("price if sold is not None and sold else 0", {"price": 3, "sold": True}, Decimal(3)),
        ("ratio + 0", {"ratio": "NaN"}, None),
        ("rate + 0", {"rate": float("inf")}, None),
        ("rate + 0", {"rate": "-0"}, Decimal(0)),
        ("rate * 3", {"rate": 0.1}, Decimal("0.3")),
        ("stock", {"stock": True}, None),
    ],
)
def test_numbers(source: str, row: dict[str, Any], expected: Any) -> None:
    assert value(source, **row) == expected


@pytest.mark.parametrize(
    ("source", "row", "expected"),
    [
        ("sold and stock > 1", {"sold": False}, False),
        ("sold and stock > 1", {"sold": True}, None),
        ("sold or stock > 1", {"stock": 5}, True),
        ("not sold", {}, None),
        ("sold is None", {}, True),
        ("name < note", {"name": "Z", "note": "a"}, True),
        ("name == note", {"name": "a", "note": "a"}, True),
    ],
)
def test_conditions(source: str, row: dict[str, Any], expected: Any) -> None:
    assert value(source, "BOOLEAN", **row) is expected


def test_a_result_is_given_its_columns_type() -> None:
    assert value("price / 3", "NUMERIC(12, 2)", price=10) == Decimal("3.33")
    assert value("price / 4", "INTEGER", price=10) == 3
    assert value("price / 3", "FLOAT", price=1) == 1 / 3
    assert value("name + '!'", "VARCHAR(3)", name="abc") == "abc"
    with pytest.raises(ExpressionError, match="out of range for SMALLINT"):
        value("stock * 1000000", "SMALLINT", stock=1)
    with pytest.raises(ExpressionError, match=r"out of range for NUMERIC\(4, 2\)"):
        value("99.995", "NUMERIC(4, 2)")


@pytest.mark.parametrize(
    ("source", "sql_type", "message"),
    [
        ("prise * 2", "NUMERIC", "'prise' in 'prise \\* 2' is no column"),
        ("'a' * 999999999", "TEXT", "'a'.* is a text where a number is needed"),
        ("name + 1", "TEXT", "'1' .* is a number where a text is needed"),
        ("price ** 2", "NUMERIC", "none of \\+ - \\* / %"),
        ("price // 2", "NUMERIC", "none of \\+ - \\* / %"),
        ("1 < stock < 3", "BOOLEAN", "compares more than two"),
        ("stock == None", "BOOLEAN", "write is None"),
        ("stock is 3", "BOOLEAN", "something else than None"),
        ("stock in (1, 2)", "BOOLEAN", "is nothing that an expression may hold"),
        ("sold < sold", "BOOLEAN", "orders booleans"),
        ("price if stock else 0", "NUMERIC", "'stock' .* is a number where a boolean is needed"),
        ("price if sold else name", "NUMERIC", "mixes kinds"),
        ("price", "TEXT", "is a number, and the column is a text"),
        ("price", "DATE", "only numbers, texts, booleans"),
        ("day", "TEXT", "is of type DATE"),
        ("None", "TEXT", "is a null"),
        ("1e5", "NUMERIC", "is no number such as"),
        ("0x10", "NUMERIC", "is no number such as"),
        ("1_000", "NUMERIC", "is no number such as"),
        ("1j", "NUMERIC", "is no number such as"),
        ("b'x'", "TEXT", "is no number such as"),
        ("'a\\0b'", "TEXT", "cannot be shown"),
        ("f'{name}'", "TEXT", "nothing that an expression may hold"),
        ("price.real", "NUMERIC", "nothing that an expression may hold"),
        ("[price][0]", "NUMERIC", "nothing that an expression may hold"),
        ("(lambda: price)()", "NUMERIC", "nothing that an expression may hold"),
        ("__import__('os')", "TEXT", "is none of coalesce"),
        ("round(price, stock)", "NUMERIC", "no number of decimals"),
        ("round(price, 21)", "NUMERIC", "no number of decimals"),
        ("round(price, ndigits=2)", "NUMERIC", "more than plain arguments"),
        ("coalesce()", "NUMERIC", "is none of coalesce"),
        ("coalesce(*price)", "NUMERIC", "more than plain arguments"),
        ("price * ", "NUMERIC", "is not an expression"),
        ("price; stock", "NUMERIC", "is not an expression"),
        ("x := 1", "NUMERIC", "is not an expression"),
        ("(" * 500 + "price" + ")" * 490, "NUMERIC", "is not an expression"),
        ("-" * 900 + "1", "NUMERIC", "is not an expression"),
    ],
)
def test_what_is_not_of_the_language_is_refused(source: str, sql_type: str, message: str) -> None:
    with pytest.raises(ExpressionError, match=message):
        Expression.parse(source, sql_type, TYPES)


# ------------------------------------------------------------------------------------------------ both languages

numbers = st.one_of(
    st.none(),
    st.integers(-5, 5).map(Decimal),
    st.decimals(min_value=-(10**9), max_value=10**9, places=2),
)
ROWS = st.fixed_dictionaries(
    {
        "price": numbers,
        "stock": st.one_of(st.none(), st.integers(-(2**31), 2**31 - 1), st.integers(-3, 3)),
        "big": st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
        "rate": st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False, width=32), st.just("NaN")),
        "ratio": st.one_of(
            st.none(), st.decimals(allow_nan=False, allow_infinity=False, places=6), st.just("Infinity")
        ),
        "name": st.one_of(st.none(), st.text("abÉé'\\%𝄞 ", max_size=5)),
        "note": st.one_of(st.none(), st.text("abÉé'\\%𝄞 ", max_size=5)),
        "sold": st.one_of(st.none(), st.booleans()),
    }
)


def _number(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from("+-*/%"), inner),
        st.builds("(-{})".format, inner),
        st.builds("abs({})".format, inner),
        st.builds("round({}, {})".format, inner, st.integers(0, 4)),
        st.builds("coalesce({}, {})".format, inner, inner),
        st.builds("({} if {} else {})".format, inner, CONDITION, inner),
        st.builds("length({})".format, TEXT),
    )


LITERAL = st.one_of(st.integers(0, 100).map(str), st.decimals(0, 100, places=3).map(str))
TEXT = st.recursive(
    st.one_of(st.sampled_from(["name", "note"]), st.text("ab'\\%:é", max_size=3).map(repr)),
    lambda inner: st.builds("({} + {})".format, inner, inner),
    max_leaves=3,
)
LEAF = st.one_of(st.sampled_from(["price", "stock", "big", "rate", "ratio"]), LITERAL)
COMPARISON = st.one_of(
    st.builds("({} {} {})".format, LEAF, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), LEAF),
    st.builds("({} {} {})".format, TEXT, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), TEXT),
    st.builds("({} is{} None)".format, st.one_of(LEAF, TEXT), st.sampled_from(["", " not"])),
    st.sampled_from(["sold", "True", "False"]),
)
CONDITION = st.recursive(
    COMPARISON,
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(["and", "or"]), inner),
        st.builds("(not {})".format, inner),
    ),
    max_leaves=4,
)
NUMBER = st.recursive(LEAF, _number, max_leaves=6)
PROGRAMS = st.one_of(
    st.tuples(NUMBER, st.sampled_from(["NUMERIC", "NUMERIC(1000, 3)"])),
    st.tuples(TEXT, st.sampled_from(["TEXT", "VARCHAR(4)"])),
    st.tuples(CONDITION, st.just("BOOLEAN")),
)


@given(program=PROGRAMS, rows=st.lists(ROWS, min_size=1, max_size=20))
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@example(program=("(price / (stock - stock))", "NUMERIC"), rows=[{"price": 1, "stock": 1}])
@example(program=("((1 / 3) * 3)", "NUMERIC(1000, 3)"), rows=[{}])
def test_python_and_sql_agree(engine: Engine, program: tuple[str, str], rows: list[dict[str, Any]]) -> None:
    source, sql_type = program
    expression = Expression.parse(source, sql_type, TYPES)
    documents = [document(row) for row in rows]
    statement = (
        f"SELECT to_jsonb({expression.sql('d.row')})::text "
        "FROM unnest(CAST(%(documents)s AS jsonb[])) WITH ORDINALITY d(row, place) ORDER BY place"
    )
    with engine.connect() as connection:
        found = (
            connection.exec_driver_sql(statement.replace("%", "%%").replace("%%(", "%("), {"documents": documents})
            .scalars()
            .all()
        )
    in_sql = [None if answer is None else json.loads(answer, parse_float=Decimal) for answer in found]
    stored = [json.loads(document, parse_float=Decimal) for document in documents]

    assert [expression.value(row) for row in stored] == in_sql


def document(row: dict[str, Any]) -> str:
    """Write a row as JSON, its decimals digit for digit."""
    values = {name: format(it, "f") if isinstance(it, Decimal) else json.dumps(it) for name, it in row.items()}
    return "{" + ", ".join(f"{json.dumps(name)}: {it}" for name, it in values.items()) + "}"
