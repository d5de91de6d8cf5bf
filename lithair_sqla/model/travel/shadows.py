"""The shadow of a table: a common table expression of its name, so that a statement reads it instead of the table.

``WITH product AS NOT MATERIALIZED (…)`` makes every ``FROM product`` of the statement read the expression, whatever
aliases, joins and subqueries it stands in; inside the expression, names are qualified and mean the table itself. What
varies from call to call are parameters, so the expressions are made once an engine and SQLAlchemy's and PostgreSQL's
caches go on working.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from zlib import crc32

from sqlalchemy import ARRAY, CTE, BigInteger, BindParameter, ColumnClause, bindparam, column, event, text
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import Query
from sqlalchemy.sql.selectable import TextualSelect
from sqlalchemy.types import TypeEngine

from lithair_sqla.model.fold import Folding
from lithair_sqla.model.travel.bodies import (
    MARK,
    changed_body,
    changed_name,
    fold_body,
    hybrid_body,
    key_body,
    keys_body,
)
from lithair_sqla.model.travel.known import Known
from lithair_sqla.model.travel.moment import Moment

__all__ = ["Road", "Way", "changed_streams", "key_parameters", "moment_parameters", "shadow"]

_SHADOWS_KEPT: Final = 1_000
_SHADOW: Final = "lithair_shadow"
_PARAMETER: Final = re.compile(f"{MARK}([a-z_0-9]+)")


class Way(StrEnum):
    """How the rows of a past moment are come by."""

    KEY = "key"
    KEYS = "keys"
    HYBRID = "hybrid"
    FOLD = "fold"
    LIVE = "live"


_BODIES: Final = {Way.KEY: key_body, Way.KEYS: keys_body, Way.HYBRID: hybrid_body, Way.FOLD: fold_body}


@dataclass(frozen=True, slots=True, kw_only=True)
class Road:
    """Which way was taken for one table, and why.

    Attributes:
        table: the table's name.
        way: ``key``, ``keys``, ``hybrid``, ``fold`` or ``live``.
        reason: in words, with the numbers that decided.
    """

    table: str
    way: Way
    reason: str

    def __str__(self) -> str:
        """Read as ``product: hybrid (12 positions since, 5,000 rows)``."""
        return f"{self.table}: {self.way} ({self.reason})"


def shadow(dialect: Dialect, fold: Folding, name: str, way: Way) -> CTE:
    """Return the shadow of a table, to be added to a statement.

    Args:
        dialect: of the connection that it is for.
        fold: of the table.
        name: the shadow's.
        way: any but ``live``.
    """

    def make() -> CTE:
        body = _BODIES[way](fold)
        columns = [column(found.name, found.type) for found in fold.table.columns]
        return _expression(fold, body, name, columns, inlined=True)

    kept: Known[CTE] = Known.of(dialect, "shadows", _SHADOWS_KEPT)
    return kept.get((fold.table, fold.target, fold.names, name, way), make)


def changed_streams(dialect: Dialect, fold: Folding) -> CTE:
    """Return the expression that ``hybrid`` shadows read: the streams of a store with an event after the moment."""
    name = changed_name(fold)

    def make() -> CTE:
        return _expression(fold, changed_body(fold), name, [column("stream_id", BigInteger)], inlined=False)

    kept: Known[CTE] = Known.of(dialect, "shadows", _SHADOWS_KEPT)
    return kept.get((fold.names, name), make)


def moment_parameters(fold: Folding, moment: Moment) -> dict[str, Any]:
    """Return the parameters that all shadows of a store share."""
    mark = fold.names.namespace
    return {
        f"lithair_moment_{mark}": moment.position,
        f"lithair_left_out_{mark}": list(moment.left_out),
        f"lithair_low_{mark}": moment.low,
    }


def key_parameters(fold: Folding, name: str, way: Way, keys: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
    """Return the parameters that a shadow by ``key`` or ``keys`` needs beside the moment's.

    Args:
        fold: of the table.
        name: the shadow's.
        way: ``key``, for one, or ``keys``.
        keys: the rows' keys, as Python knows them.
    """
    mark = _mark(name)
    if way is Way.KEY:
        return {f"lithair_key_{place}_{mark}": value for place, value in enumerate(keys[0])}
    places = range(len(fold.shape.keys))
    return {f"lithair_keys_{place}_{mark}": [values[place] for values in keys] for place in places}


def _expression(fold: Folding, body: str, name: str, columns: list[ColumnClause[Any]], *, inlined: bool) -> CTE:
    types: dict[str, TypeEngine[Any]] = {"moment": BigInteger(), "left_out": ARRAY(BigInteger), "low": BigInteger()}
    types |= {f"key_{place}": key.type for place, key in enumerate(fold.key_columns)}
    types |= {f"keys_{place}": ARRAY(key.type) for place, key in enumerate(fold.key_columns)}
    binds: dict[str, BindParameter[Any]] = {}

    def named(found: re.Match[str]) -> str:
        mark = _mark(name) if found[1].startswith("key") else str(fold.names.namespace)
        key = f"lithair_{found[1]}_{mark}"
        binds[key] = bindparam(key, type_=types[found[1]])
        return f":{key}"

    # text() takes a colon for a parameter: every one but ours is escaped.
    marked = text(_PARAMETER.sub(named, body.replace(":", r"\:"))).bindparams(*binds.values()).columns(*columns)
    statement = marked.execution_options(**{_SHADOW: True})
    # RECURSIVE, though none of them is: so that an expression of the user's own sees them, wherever it stands.
    made = statement.cte(name, recursive=True)
    return made.prefix_with("NOT MATERIALIZED" if inlined else "MATERIALIZED", dialect="postgresql")


def is_shadow(expression: Any) -> bool:
    """Tell a shadow from an expression of the user's."""
    element = expression.element
    return isinstance(element, TextualSelect) and element.get_execution_options().get(_SHADOW) is True


def _mark(name: str) -> str:
    """Tell the parameters of one shadow from another's."""
    return f"{crc32(name.encode()):08x}"


@event.listens_for(Query, "before_compile", retval=True)
def _leave_shadows_behind(query: Query[Any]) -> Query[Any]:
    """Take the shadows out of a statement that ``subqueryload`` makes a part of its own: that one gets its own."""
    carried = query.__dict__.get("_independent_ctes", ())
    if any(map(is_shadow, carried)):
        options = query.__dict__["_independent_ctes_opts"]
        kept = [(cte, option) for cte, option in zip(carried, options, strict=True) if not is_shadow(cte)]
        query.__dict__["_independent_ctes"] = tuple(cte for cte, _ in kept)
        query.__dict__["_independent_ctes_opts"] = tuple(option for _, option in kept)
    return query
