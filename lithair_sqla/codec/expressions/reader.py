"""From a syntax tree to parts: the whitelist of what an expression may hold."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from lithair_sqla.codec.expressions import numbers
from lithair_sqla.codec.expressions.kinds import Kind, kind_of, read, read_sql
from lithair_sqla.codec.expressions.parts import ARITHMETIC, COMPARISONS, Part, Row, strict
from lithair_sqla.codec.values import text_literal
from lithair_sqla.errors import ExpressionError

__all__ = ["Reader"]

_NUMBER: Final = re.compile(r"[0-9]+(\.[0-9]+)?")


class Reader:
    """Reads a syntax tree, part by part."""

    def __init__(self, source: str, types: Mapping[str, str]) -> None:
        self.columns: set[str] = set()
        self._source = source
        self._types = types

    def read(self, node: ast.expr) -> Part:  # noqa: PLR0911 - a table in code
        """Read a part and everything in it."""
        match node:
            case ast.Constant():
                return self._constant(node)
            case ast.Name():
                return self._column(node)
            case ast.UnaryOp(op=ast.USub()):
                return self._negative(node)
            case ast.UnaryOp(op=ast.Not()):
                return self._not(node)
            case ast.BinOp():
                return self._arithmetic(node)
            case ast.BoolOp():
                return self._logic(node)
            case ast.Compare():
                return self._comparison(node)
            case ast.IfExp():
                return self._choice(node)
            case ast.Call(func=ast.Name()):
                return self._call(node)
            case _:
                raise self._wrong(node, "is nothing that an expression may hold")

    def _wrong(self, node: ast.expr, why: str) -> ExpressionError:
        return ExpressionError(f"{self._text(node)!r} in {self._source!r} {why}")

    def _text(self, node: ast.expr) -> str:
        return ast.get_source_segment(self._source, node) or ast.unparse(node)

    def _must_be(self, part: Part, *kinds: Kind) -> None:
        if part.kind not in kinds:
            wanted = " or a ".join(kinds)
            raise ExpressionError(f"{part.source!r} in {self._source!r} is a {part.kind} where a {wanted} is needed")

    def _common(self, node: ast.expr, *parts: Part) -> Kind:
        """Return the one kind of several parts, null fitting to all."""
        kinds = {part.kind for part in parts} - {Kind.NULL}
        if len(kinds) > 1:
            shown = ", ".join(f"{part.source!r} is a {part.kind}" for part in parts)
            raise self._wrong(node, f"mixes kinds: {shown}")
        return kinds.pop() if kinds else Kind.NULL

    # ------------------------------------------------------------------------------------------ leaves

    def _constant(self, node: ast.Constant) -> Part:
        text, value = self._text(node), node.value
        if value is None:
            return Part(Kind.NULL, lambda _: None, lambda _: "NULL", text)
        if isinstance(value, bool):
            return Part(Kind.CONDITION, lambda _: value, lambda _: str(value).lower(), text)
        if isinstance(value, str):
            if "\0" in value or not value.isprintable():
                raise self._wrong(node, "holds a character that cannot be shown")
            return Part(Kind.TEXT, lambda _: value, lambda _: f"{text_literal(value)}::text", text)
        if _NUMBER.fullmatch(text):
            number = Decimal(text)
            return Part(Kind.NUMBER, lambda _: number, lambda _: f"{text}::numeric", text)
        raise self._wrong(node, "is no number such as 12 or 1.20, no text, True, False or None")

    def _column(self, node: ast.Name) -> Part:
        name = node.id
        if name not in self._types:
            known = ", ".join(sorted(name for name in self._types if name.isidentifier()))
            raise self._wrong(node, f"is no column (there are {known})")
        kind = kind_of(self._types[name])
        if kind is None:
            raise self._wrong(node, f"is of type {self._types[name]}: expressions speak of numbers, texts and booleans")
        self.columns.add(name)
        return Part(kind, lambda row: read(row.get(name), kind), lambda state: read_sql(state, name, kind), name)

    # ------------------------------------------------------------------------------------------ operators

    def _negative(self, node: ast.UnaryOp) -> Part:
        operand = self.read(node.operand)
        self._must_be(operand, Kind.NUMBER)
        return Part(
            Kind.NUMBER,
            strict(lambda a: numbers.subtract(Decimal(0), a), operand),
            lambda state: f"(- {operand.sql(state)})",
            self._text(node),
        )

    def _not(self, node: ast.UnaryOp) -> Part:
        operand = self.read(node.operand)
        self._must_be(operand, Kind.CONDITION)
        return Part(
            Kind.CONDITION,
            strict(lambda a: not a, operand),
            lambda state: f"(NOT {operand.sql(state)})",
            self._text(node),
        )

    def _arithmetic(self, node: ast.BinOp) -> Part:
        left, right = self.read(node.left), self.read(node.right)
        if isinstance(node.op, ast.Add) and Kind.TEXT in {left.kind, right.kind}:
            self._must_be(left, Kind.TEXT)
            self._must_be(right, Kind.TEXT)
            return Part(
                Kind.TEXT,
                strict(lambda a, b: a + b, left, right),
                lambda state: f"({left.sql(state)} || {right.sql(state)})",
                self._text(node),
            )
        if type(node.op) not in ARITHMETIC:
            raise self._wrong(node, "uses an operator that is none of + - * / %")
        compute, form = ARITHMETIC[type(node.op)]
        self._must_be(left, Kind.NUMBER)
        self._must_be(right, Kind.NUMBER)
        return Part(
            Kind.NUMBER,
            strict(compute, left, right),
            lambda state: form.format(left.sql(state), right.sql(state)),
            self._text(node),
        )

    def _logic(self, node: ast.BoolOp) -> Part:
        parts = [self.read(value) for value in node.values]
        for part in parts:
            self._must_be(part, Kind.CONDITION)
        # What decides alone, whatever the others are: false for "and", true for "or".
        deciding = isinstance(node.op, ast.Or)

        def value(row: Row) -> Any:
            found = [part.value(row) for part in parts]
            if deciding in found:
                return deciding
            return None if None in found else not deciding

        word = " OR " if deciding else " AND "
        return Part(
            Kind.CONDITION, value, lambda state: f"({word.join(part.sql(state) for part in parts)})", self._text(node)
        )

    def _comparison(self, node: ast.Compare) -> Part:
        if len(node.ops) != 1:
            raise self._wrong(node, "compares more than two values: write (a < b and b < c)")
        left, right = self.read(node.left), self.read(node.comparators[0])
        operator = type(node.ops[0])
        if operator in {ast.Is, ast.IsNot}:
            return self._is_null(node, left, right, negated=operator is ast.IsNot)
        if operator not in COMPARISONS:
            raise self._wrong(node, "uses a comparison that is none of == != < <= > >=")
        compare, sign, ordered = COMPARISONS[operator]
        if Kind.NULL in {left.kind, right.kind}:
            raise self._wrong(node, "compares with None: write is None")
        kind = self._common(node, left, right)
        if ordered and kind is Kind.CONDITION:
            raise self._wrong(node, "orders booleans")
        collation = ' COLLATE "C"' if kind is Kind.TEXT else ""
        return Part(
            Kind.CONDITION,
            strict(compare, left, right),
            lambda state: f"({left.sql(state)}{collation} {sign} {right.sql(state)})",
            self._text(node),
        )

    def _is_null(self, node: ast.Compare, left: Part, right: Part, *, negated: bool) -> Part:
        if right.kind is not Kind.NULL or right.source != "None":
            raise self._wrong(node, "asks is of something else than None")
        word = "IS NOT NULL" if negated else "IS NULL"
        return Part(
            Kind.CONDITION,
            lambda row: (left.value(row) is None) is not negated,
            lambda state: f"({left.sql(state)} {word})",
            self._text(node),
        )

    def _choice(self, node: ast.IfExp) -> Part:
        test, body, orelse = self.read(node.test), self.read(node.body), self.read(node.orelse)
        self._must_be(test, Kind.CONDITION)
        return Part(
            self._common(node, body, orelse),
            lambda row: body.value(row) if test.value(row) is True else orelse.value(row),
            lambda state: f"(CASE WHEN {test.sql(state)} THEN {body.sql(state)} ELSE {orelse.sql(state)} END)",
            self._text(node),
        )

    # ------------------------------------------------------------------------------------------ functions

    def _call(self, node: ast.Call) -> Part:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if node.keywords or any(isinstance(argument, ast.Starred) for argument in node.args):
            raise self._wrong(node, "calls a function with more than plain arguments")
        match name, len(node.args):
            case "coalesce", count if count > 0:
                return self._coalesce(node)
            case "round", 1 | 2:
                return self._round(node)
            case "abs", 1:
                operand = self.read(node.args[0])
                self._must_be(operand, Kind.NUMBER)
                return Part(
                    Kind.NUMBER,
                    strict(numbers.absolute, operand),
                    lambda state: f"abs({operand.sql(state)})",
                    self._text(node),
                )
            case "length", 1:
                operand = self.read(node.args[0])
                self._must_be(operand, Kind.TEXT)
                return Part(
                    Kind.NUMBER,
                    strict(lambda a: Decimal(len(a)), operand),
                    lambda state: f"char_length({operand.sql(state)})::numeric",
                    self._text(node),
                )
            case _:
                raise self._wrong(node, "is none of coalesce(a, b, …), round(x, 2), round(x), abs(x), length(text)")

    def _coalesce(self, node: ast.Call) -> Part:
        parts = [self.read(argument) for argument in node.args]
        return Part(
            self._common(node, *parts),
            lambda row: next((found for part in parts if (found := part.value(row)) is not None), None),
            lambda state: f"coalesce({', '.join(part.sql(state) for part in parts)})",
            self._text(node),
        )

    def _round(self, node: ast.Call) -> Part:
        operand = self.read(node.args[0])
        self._must_be(operand, Kind.NUMBER)
        places = 0
        if len(node.args) > 1:
            given = node.args[1]
            if (
                not isinstance(given, ast.Constant)
                or type(given.value) is not int
                or not 0 <= given.value <= numbers.DECIMALS
            ):
                raise self._wrong(given, f"is no number of decimals: a whole number from 0 to {numbers.DECIMALS}")
            places = given.value
        return Part(
            Kind.NUMBER,
            strict(lambda a: numbers.rounded(a, places), operand),
            lambda state: f"round({operand.sql(state)}, {places})",
            self._text(node),
        )
