"""How a column's value becomes JSON in the log and comes back, as SQL expressions.

For nearly every type that is PostgreSQL's own ``to_jsonb`` one way and ``jsonb_populate_record`` the other. The
``families`` whose values would not survive that get an expression of their own; a column without a type is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Column, Computed
from sqlalchemy import types as sqltypes
from sqlalchemy.dialects.postgresql import base as pg_base

from lithair_sqla.codec.families import DIALECT, family_of, is_builtin, underlying_type
from lithair_sqla.errors import ColumnTypeError

__all__ = ["ColumnValue", "column_value", "text_literal", "underlying_type"]

_QUOTE: Final = pg_base.PGIdentifierPreparer(DIALECT).quote_identifier

_ESCAPE: Final = "$lithair"
"""Wraps a JSON null (which replay could not tell from SQL's) and any object that has this very key."""

_PINNED: Final[dict[str, str]] = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "iso_8601",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "lc_monetary": "C",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnValue:
    """One column, as the guard writes it and replay reads it.

    Attributes:
        name: the column's name in the database.
        sql_type: its type as DDL would spell it.
        settings: settings that its text depends on, with the values to pin.
        family: how it is treated, see ``families``.
        generated: it is computed by the database, so that replay must not write it.
        perhaps_virtual: … and whether it is stored depends on the server: left out where it is null.
        nullable: it may be null.
        exact: values that are equal have the same text, as a key.
        fit_for_key: its type is PostgreSQL's own (or citext), so that equality is found, and not JSON.
    """

    name: str
    sql_type: str
    settings: tuple[tuple[str, str], ...]
    family: str
    generated: bool = False
    perhaps_virtual: bool = False
    nullable: bool = False
    exact: bool = True
    fit_for_key: bool = True

    @property
    def quoted(self) -> str:
        """The name, quoted."""
        return _QUOTE(self.name)

    @property
    def is_special(self) -> bool:
        """Whether ``to_jsonb(row)`` alone would not do for it."""
        return self.family in {"json", "jsonb", "text", "float", "array"}

    def encode(self, row: str) -> str:
        """Write the column of ``row`` as a ``jsonb`` expression."""
        value = f"{row}.{self.quoted}"
        match self.family:
            case "json" | "jsonb":
                return (
                    f"CASE WHEN {value}::jsonb = 'null' OR {value}::jsonb #> '{{{_ESCAPE}}}' IS NOT NULL "
                    f"THEN jsonb_build_object('{_ESCAPE}', {value}) ELSE to_jsonb({value}) END"
                )
            case "text":
                return f"to_jsonb({value}::text)"
            case "float":
                return f"CASE WHEN {value}::text = '-0' THEN '\"-0\"' ELSE to_jsonb({value}) END"
            case "array":
                return f"CASE WHEN {value}::text LIKE '[%' THEN to_jsonb({value}::text) ELSE to_jsonb({value}) END"
            case _:
                return f"to_jsonb({value})"

    def decode(self, state: str, record: str) -> str:
        """Read the column from ``state`` (jsonb), ``record`` being that state as a row of the table's type."""
        value = f"{record}.{self.quoted}"
        if self.family not in {"json", "jsonb"}:
            return value
        path = "{" + '"' + self.name.replace("\\", "\\\\").replace('"', '\\"') + f'",{_ESCAPE}' + "}"
        return f"coalesce(({state} #> {text_literal(path)})::{self.family}, {value})"

    def image(self, value: str) -> str:
        """Write a value (of a row or decoded) as what has to be the same, byte for byte, in row and log."""
        return f"({value})::jsonb" if self.family in {"json", "jsonb"} else value

    def key(self, row: str) -> str:
        """Write the column of ``row`` as the text that names a stream: equal for values that are equal as keys."""
        return self.key_of(f"{row}.{self.quoted}")

    def key_of(self, value: str) -> str:  # noqa: PLR0911 - a table in code
        """Write any expression of the column's type as its part of a stream's key."""
        match self.family:
            case "numeric":
                return f"trim_scale({value})::text"
            case "float":
                return f"CASE WHEN {value} = 0 THEN '0' ELSE {value}::text END"
            case "citext":
                return f"lower({value}::text)"
            case "interval":
                return f"justify_interval({value})::text"
            case "timestamptz":
                return f"to_jsonb({value} AT TIME ZONE 'UTC') #>> '{{}}'"
            case "timestamp":
                return f"to_jsonb({value}) #>> '{{}}'"
            case _:
                return f"{value}::text"

    def same_key(self, left: str, right: str) -> str:
        """Write the condition that the column, as a part of the key, is the same in two rows, fit for an index."""
        ours, theirs = f"{left}.{self.quoted}", f"{right}.{self.quoted}"
        # An extension's operator is out of the guard's pinned search path.
        equals = "OPERATOR({{citext}}.=)" if self.family == "citext" else "="
        text = f"{ours} {equals} {theirs}"
        if not self.exact:
            text += f' AND ({self.key(left)}) COLLATE "C" = {self.key(right)}'
        return f"({text} OR ({ours} IS NULL AND {theirs} IS NULL))" if self.nullable else text


def column_value(column: Column[Any], *, owner: str) -> ColumnValue | None:
    """Say how a column is carried; ``None`` for a virtual generated column, which replay computes anew.

    Args:
        column: a column of an event-sourced table.
        owner: the class or table to name in an error.

    Raises:
        ColumnTypeError: it has no type that is known.
    """
    computed: Any = column.computed
    if isinstance(computed, Computed) and computed.persisted is False:
        return None
    type_ = underlying_type(column.type)
    if isinstance(type_, sqltypes.NullType):
        raise ColumnTypeError(
            f"{owner}.{column.name} has no known type, so its values cannot be read back from the log: give it one "
            "(mapped_column(Integer), …)"
        )
    family, settings = family_of(type_)
    collation = getattr(type_, "collation", None)
    return ColumnValue(
        name=column.name,
        sql_type=column.type.compile(dialect=DIALECT),
        settings=tuple((name, _PINNED[name]) for name in settings),
        family=family,
        generated=computed is not None,
        perhaps_virtual=computed is not None and computed.persisted is None,
        nullable=bool(column.nullable),
        exact=family not in {"text", "array", "json", "jsonb"} and collation is None,
        fit_for_key=family == "citext" or (is_builtin(type_) and family not in {"json", "jsonb"}),
    )


def text_literal(text: str) -> str:
    """Write a string constant for SQL text."""
    quoted = text.replace("'", "''")
    return f"E'{quoted.replace(chr(92), chr(92) * 2)}'" if "\\" in quoted else f"'{quoted}'"
