"""Which families the types of PostgreSQL fall into, by what has to be done for their values to survive the log.

======================= ============================================================================================
family                  what is special about it
======================= ============================================================================================
``plain``               nothing: ``to_jsonb`` one way, ``jsonb_populate_record`` the other
``json``, ``jsonb``     SQL null against JSON null; ``json`` is compared as ``jsonb``, since its text is not kept
``text``                carried as its text: what a type of JSON's would lose (hstore, ranges, composites, floats in
                        arrays) or nobody here knows
``float``               minus zero
``array``               lower bounds other than one
``numeric``, ``citext`` values that differ and are equal, as a key: ``1.0`` and ``1.00``, ``A`` and ``a``
``timestamp(tz)``       their text as a key, which settings would change
``interval``            both: ``24 hours`` and ``1 day``
======================= ============================================================================================
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import types as sqltypes
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeDecorator, TypeEngine, UserDefinedType

__all__ = ["DIALECT", "Family", "family_of", "is_builtin", "underlying_type"]

DIALECT: Final = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]

Family = tuple[str, tuple[str, ...]]
"""A family's name, and the settings that the text of its values depends on."""

_EVERY_SETTING: Final = (
    "TimeZone",
    "DateStyle",
    "IntervalStyle",
    "bytea_output",
    "extra_float_digits",
    "lc_monetary",
)
_ARRAYS_OF: Final = frozenset({"plain", "numeric", "citext", "timestamp", "timestamptz", "interval"})


def underlying_type(type_: TypeEngine[Any]) -> TypeEngine[Any]:
    """Return the PostgreSQL type under variants, type decorators and domains."""
    found: TypeEngine[Any] = type_.dialect_impl(DIALECT)
    while True:
        if isinstance(found, TypeDecorator):
            found = found.impl_instance.dialect_impl(DIALECT)
        elif isinstance(found, postgresql.DOMAIN):
            found = found.data_type.dialect_impl(DIALECT)
        else:
            return found


def is_builtin(type_: TypeEngine[Any]) -> bool:
    """Tell whether a type (as ``underlying_type`` gives it) is PostgreSQL's own: its operators are always found."""
    return not isinstance(type_, (UserDefinedType, postgresql.CITEXT, postgresql.HSTORE))


def family_of(type_: TypeEngine[Any]) -> Family:  # noqa: C901, PLR0911, PLR0912 - a table in code
    """Say which family a type (as ``underlying_type`` gives it) is of."""
    match type_:
        case postgresql.JSONB():
            return "jsonb", ()
        case sqltypes.JSON():
            return "json", ()
        case sqltypes.ARRAY():
            family, settings = family_of(underlying_type(type_.item_type))
            return ("array" if family in _ARRAYS_OF else "text"), settings
        case sqltypes.Float():
            return "float", ("extra_float_digits",)
        case sqltypes.Numeric():
            return "numeric", ()
        case postgresql.CITEXT():
            return "citext", ()
        case postgresql.INTERVAL() | sqltypes.Interval():
            return "interval", ("IntervalStyle",)
        case sqltypes.DateTime():
            return ("timestamptz", ("TimeZone",)) if type_.timezone else ("timestamp", ())
        case sqltypes.Date():
            return "timestamp", ()
        case sqltypes.LargeBinary():
            return "plain", ("bytea_output",)
        case sqltypes.Integer() | sqltypes.String() | sqltypes.Uuid() | sqltypes.Boolean() | sqltypes.Enum():
            return "plain", ()
        case sqltypes.Time() | postgresql.INET() | postgresql.CIDR() | postgresql.BIT():
            return "plain", ()
        case postgresql.HSTORE() | postgresql.MACADDR() | postgresql.MACADDR8() | postgresql.OID():
            return "text", ()
        case postgresql.MONEY():
            return "text", ("lc_monetary",)
        case postgresql.TSVECTOR() | postgresql.TSQUERY() | postgresql.INT4RANGE() | postgresql.INT8RANGE():
            return "text", ()
        case postgresql.DATERANGE() | postgresql.TSRANGE():
            return "text", ("DateStyle",)
        case postgresql.TSTZRANGE():
            return "text", ("DateStyle", "TimeZone")
        case _:  # composites, geometry, multiranges and types of the user's own: anything may stand inside them
            return "text", _EVERY_SETTING
