"""What a statement reads: told by compiling it, since only the compiler sees every table that ends up in its FROM.

A joined eager load, a polymorphic mapping, a loader criterion or a ``column_property`` adds tables that the statement
does not name. So it is compiled once more with a compiler that takes notes: the tables, how each select restricts them
(for ``narrowing``), and whatever has no place in a session on the past. They are kept by the statement's cache key.
"""

# The compiler's methods that are extended here are another base's.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Select, Table
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.compiler import SQLCompiler

from lithair_sqla.model.travel.known import Known
from lithair_sqla.model.travel.narrowing import Narrowing, Scope, narrowings

__all__ = ["Reading", "Values", "read"]

_STATEMENTS_KEPT: Final = 500
_NOT_PLAIN: Final = re.compile(
    r"\b(select|from|join|table|into|for\s+(no\s+key\s+update|update|key\s+share|share))\b", re.IGNORECASE
)

Values = Mapping[str, Any]
"""The values of a compiled statement's parameters, by name."""


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What one statement reads.

    Attributes:
        tables: every table in it, with how often it stands there.
        objections: what a session on the past cannot do with it, each a sentence's end.
        narrowings: tables of which only rows with certain keys can matter.
        compiled: the statement as the notes were taken.
    """

    tables: Mapping[Table, int]
    objections: tuple[str, ...]
    narrowings: Mapping[Table, Narrowing]
    compiled: SQLCompiler


class _Notes:
    """What a compiler with this among its bases has seen."""

    seen: Counter[Table]
    objections: list[str]
    scopes: list[Scope]

    def __init__(self, *args: Any, **keywords: Any) -> None:
        self.seen = Counter()
        self.objections = []
        self.scopes = []
        super().__init__(*args, **keywords)

    def visit_table(self, table: Any, asfrom: bool = False, **keywords: Any) -> Any:  # noqa: FBT001, FBT002 - SQLAlchemy's
        if asfrom and isinstance(table, Table):
            self.seen[_plain(table)] += 1
        elif asfrom:
            self.objections.append(
                f"a bare table({table.name!r}) does not say which table it is: use the Table or a class"
            )
        return super().visit_table(table, asfrom=asfrom, **keywords)  # type: ignore[misc]

    def _compose_select_body(
        self, text: Any, select: Any, compile_state: Any, inner_columns: Any, froms: Any, *args: Any
    ) -> Any:
        for *_, hint in (*select._statement_hints, *select._hints.items()):  # noqa: SLF001 - no public way
            self._object_to_text(hint)
        if isinstance(select, Select):
            self.scopes.append(Scope(tuple(froms), select.whereclause))
        return super()._compose_select_body(text, select, compile_state, inner_columns, froms, *args)  # type: ignore[misc]

    def for_update_clause(self, select: Any, **keywords: Any) -> Any:
        self.objections.append("rows of the past cannot be locked (with_for_update)")
        return super().for_update_clause(select, **keywords)  # type: ignore[misc]

    def visit_textclause(self, textclause: Any, *args: Any, **keywords: Any) -> Any:
        if keywords.get("asfrom"):
            self.objections.append(f"a text says too little of what it reads ({textclause.text[:60]!r}): use the class")
        self._object_to_text(textclause.text)
        return super().visit_textclause(textclause, *args, **keywords)  # type: ignore[misc]

    def visit_textual_select(self, taf: Any, *args: Any, **keywords: Any) -> Any:
        self.objections.append("what text() reads cannot be told: write it as select()")
        return super().visit_textual_select(taf, *args, **keywords)  # type: ignore[misc]

    def visit_column(self, column: Any, *args: Any, **keywords: Any) -> Any:
        if column.is_literal:
            self._object_to_text(column.name)
        return super().visit_column(column, *args, **keywords)  # type: ignore[misc]

    def _object_to_text(self, text: str) -> None:
        if _NOT_PLAIN.search(text):
            self.objections.append(f"what a text reads cannot be told ({text[:60]!r}): write it as select()")

    def visit_insert(self, *args: Any, **keywords: Any) -> Any:
        self.objections.append("it is read-only (the statement holds an INSERT)")
        return super().visit_insert(*args, **keywords)  # type: ignore[misc]

    def visit_update(self, *args: Any, **keywords: Any) -> Any:
        self.objections.append("it is read-only (the statement holds an UPDATE)")
        return super().visit_update(*args, **keywords)  # type: ignore[misc]

    def visit_delete(self, *args: Any, **keywords: Any) -> Any:
        self.objections.append("it is read-only (the statement holds a DELETE)")
        return super().visit_delete(*args, **keywords)  # type: ignore[misc]

    def visit_next_value_func(self, *args: Any, **keywords: Any) -> Any:
        self.objections.append("it is read-only (the statement draws from a sequence)")
        return super().visit_next_value_func(*args, **keywords)  # type: ignore[misc]

    def visit_tablesample(self, *args: Any, **keywords: Any) -> Any:
        self.objections.append("PostgreSQL samples only tables that stand there (tablesample)")
        return super().visit_tablesample(*args, **keywords)  # type: ignore[misc]


def _plain(table: Table) -> Table:
    """Take the ORM's annotations off a table."""
    return table._deannotate()  # noqa: SLF001 - no public way


def _noting_dialect(dialect: Dialect) -> Dialect:
    made = copy.copy(dialect)
    made.statement_compiler = type("NotingCompiler", (_Notes, dialect.statement_compiler), {})
    return made


def read(statement: Any, dialect: Dialect, parameters: Values | None) -> tuple[Reading, Values]:
    """Tell what a statement reads, and the values of its parameters.

    Args:
        statement: a select or a compound of selects, of the ORM or of Core.
        dialect: of the connection that it is for.
        parameters: values given beside it.
    """
    key = statement._generate_cache_key()  # noqa: SLF001 - what SQLAlchemy's own cache goes by
    noting: Known[Dialect] = Known.of(dialect, "noting", 1)
    readings: Known[Reading] = Known.of(dialect, "readings", _STATEMENTS_KEPT)

    def make() -> Reading:
        return _read(statement, noting.get(None, lambda: _noting_dialect(dialect)), key)

    reading = make() if key is None else readings.get(key.key, make)
    given = dict(parameters or {})
    if key is not None and (collected := getattr(key, "params", None)):
        given = {**collected, **given}
    values = reading.compiled.construct_params(
        given, extracted_parameters=None if key is None else key.bindparams, escape_names=False, _check=False
    )
    return reading, values


def _read(statement: Any, noting: Dialect, key: Any) -> Reading:
    compiled: Any = statement.compile(dialect=noting, cache_key=key)
    return Reading(
        tables=dict(compiled.seen),
        objections=tuple(dict.fromkeys(compiled.objections)),
        narrowings=narrowings(compiled.scopes, compiled.seen, compiled.bind_names),
        compiled=compiled,
    )
