"""How a column's value becomes JSON in the log and comes back, as SQL expressions.

For nearly every type that is PostgreSQL's own ``to_jsonb`` one way and ``jsonb_populate_record`` the other. The few
whose values would not survive (SQL null against JSON null, array bounds, minus zero, hstore, settings that change the
text) get an expression of their own; a type that cannot be carried at all is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Column, Computed
from sqlalchemy import types as sqltypes
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import base as pg_base
from sqlalchemy.types import TypeDecorator, TypeEngine

from lithair_sqla.errors import ColumnTypeError

__all__ = ["ColumnValue", "column_value", "underlying_type"]

_DIALECT: Final = postgresql.dialect()  # type: ignore[no-untyped-call]
_QUOTE: Final = pg_base.PGIdentifierPreparer(_DIALECT).quote_identifier

_ESCAPE: Final = "$lithair"
"""Wraps a JSON null (which replay could not tell from SQL's) and any object that has this very key."""

_SETTINGS: Final[dict[str, str]] = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "iso_8601",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "lc_monetary": "C",
}


@dataclass(frozen=True, slots=True)
class ColumnValue:
    """One column, as the guard writes it and replay reads it.

    Attributes:
        name: the column's name in the database.
        sql_type: its type as DDL would spell it.
        settings: settings that its text depends on, with the values to pin.
        family: which of the special treatments it needs; ``"plain"`` for none.
        generated: it is computed by the database (stored), so that replay must not write it.
        key: its part of a stream's key, with ``{}`` for the row's name.
    """

    name: str
    sql_type: str
    settings: tuple[tuple[str, str], ...]
    family: str
    generated: bool

    @property
    def quoted(self) -> str:
        """The name, quoted."""
        return _QUOTE(self.name)

    @property
    def is_special(self) -> bool:
        """Whether ``to_jsonb(row)`` alone would not do for it."""
        return self.family in {"json", "hstore", "float", "array", "opaque_array"}

    def encode(self, row: str) -> str:
        """Write the column of ``row`` as a ``jsonb`` expression."""
        value = f"{row}.{self.quoted}"
        match self.family:
            case "json":
                return (
                    f"CASE WHEN {value}::jsonb = 'null' OR {value}::jsonb #> '{{{_ESCAPE}}}' IS NOT NULL "
                    f"THEN jsonb_build_object('{_ESCAPE}', {value}) ELSE to_jsonb({value}) END"
                )
            case "hstore" | "opaque_array":
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
        if self.family != "json":
            return value
        path = "{" + '"' + self.name.replace("\\", "\\\\").replace('"', '\\"') + f'",{_ESCAPE}' + "}"
        inner = f"({state} #> {_literal(path)})"
        return f"coalesce({inner}{'::json' if self.sql_type == 'JSON' else ''}, {value})"

    def key(self, row: str) -> str:
        """Write the column of ``row`` as the text that names a stream: equal for values that are equal as keys."""
        value = f"{row}.{self.quoted}" if row else self.quoted
        return self.key_of(value)

    def key_of(self, value: str) -> str:
        """Write any expression of the column's type as its part of a stream's key."""
        match self.family:
            case "numeric":
                return f"trim_scale({value})::text"
            case "citext":
                return f"lower({value}::text)"
            case "timestamptz":
                return f"to_jsonb({value} AT TIME ZONE 'UTC') #>> '{{}}'"
            case "timestamp":
                return f"to_jsonb({value}) #>> '{{}}'"
            case _:
                return f"{value}::text"


def underlying_type(type_: TypeEngine[Any]) -> TypeEngine[Any]:
    """Return the PostgreSQL type under variants and type decorators."""
    found: TypeEngine[Any] = type_.dialect_impl(_DIALECT)
    while isinstance(found, TypeDecorator):
        found = found.impl_instance.dialect_impl(_DIALECT)
    return found


def column_value(column: Column[Any], *, owner: str) -> ColumnValue | None:
    """Say how a column is carried; ``None`` for a virtual generated column, which replay computes anew.

    Args:
        column: a column of an event-sourced table.
        owner: the class or table to name in an error.

    Raises:
        ColumnTypeError: its type is unknown or would not round-trip.
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
    sql_type = column.type.compile(dialect=_DIALECT)
    family, settings = _family(type_)
    return ColumnValue(
        name=column.name,
        sql_type=sql_type,
        settings=tuple((name, _SETTINGS[name]) for name in settings),
        family=family,
        generated=computed is not None,
    )


def _family(type_: TypeEngine[Any]) -> tuple[str, tuple[str, ...]]:  # noqa: C901, PLR0911, PLR0912 - a table in code
    match type_:
        case sqltypes.JSON():
            return "json", ()
        case postgresql.HSTORE():
            return "hstore", ()
        case sqltypes.ARRAY():
            family, settings = _family(underlying_type(type_.item_type))
            return ("opaque_array" if family in {"json", "hstore", "float"} else "array"), settings
        case sqltypes.Float():
            return "float", ("extra_float_digits",)
        case sqltypes.Numeric():
            return "numeric", ()
        case postgresql.CITEXT():
            return "citext", ()
        case postgresql.INTERVAL() | sqltypes.Interval():
            return "plain", ("IntervalStyle",)
        case sqltypes.DateTime() | sqltypes.TIMESTAMP():
            return ("timestamptz", ("TimeZone",)) if type_.timezone else ("timestamp", ())
        case sqltypes.Date():
            return "timestamp", ()
        case sqltypes.LargeBinary():
            return "plain", ("bytea_output",)
        case postgresql.MONEY():
            return "plain", ("lc_monetary",)
        case sqltypes.Integer() | sqltypes.String() | sqltypes.Uuid() | sqltypes.Boolean() | sqltypes.Enum():
            return "plain", ()
        case sqltypes.Time() | postgresql.INET() | postgresql.CIDR() | postgresql.BIT():
            return "plain", ()
        case _:  # ranges, composites, geometry and types of the user's own: anything may stand inside them
            return "plain", tuple(_SETTINGS)


def _literal(text: str) -> str:
    quoted = text.replace("'", "''")
    return f"E'{quoted.replace(chr(92), chr(92) * 2)}'" if "\\" in quoted else f"'{quoted}'"
