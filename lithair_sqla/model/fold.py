"""The fold as SQL: events of one table's streams merged into rows of its type.

One text serves rebuild, audit and sessions on the past, so that they cannot disagree about what a stream's state is:
objects merged in version order, the last change that is not a note deciding whether the row is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Column, Connection, MetaData, Table

from lithair_sqla.codec.values import ColumnValue
from lithair_sqla.errors import MappingError
from lithair_sqla.model.declarative import model_options, tables_of
from lithair_sqla.schema.create import names_in
from lithair_sqla.schema.guard_body import GuardShape, key_expression, same_key
from lithair_sqla.schema.guards import guard_of, qualified, shape_of
from lithair_sqla.schema.names import Names, literal
from lithair_sqla.schema.tables import LibraryTables

__all__ = ["RECORD", "Folding", "event_sourced_tables", "folding"]

RECORD: Final = '"!record"'
"""What a folded row is called in FROM: a name that no column of a user's has, or the column would be taken for it."""


@dataclass(frozen=True, slots=True)
class Folding:
    """How one table's rows come out of its streams, in one database.

    Attributes:
        table: the event-sourced table.
        target: its quoted, qualified name.
        names: how the library's objects are called.
        shape: what its guard writes.
    """

    table: Table
    target: str
    names: Names
    shape: GuardShape

    @property
    def stream(self) -> str:
        """The stream name as an SQL constant."""
        return literal(self.shape.stream)

    @property
    def columns(self) -> tuple[ColumnValue, ...]:
        """Columns that replay may write: no generated ones."""
        return tuple(column for column in self.shape.columns if not column.generated)

    @property
    def key_columns(self) -> tuple[Column[Any], ...]:
        """The table's key columns, in the order of the stream's key."""
        by_name = {column.name: column for column in self.table.columns}
        return tuple(by_name[key.name] for key in self.shape.keys)

    def folded(self, where: str = "") -> str:
        """Write a query of (stream_id, state, alive, version, events), one row a stream.

        Args:
            where: a further condition on ``s`` (streams) and ``e`` (events), starting with AND.
        """
        return self.names.render(f"""\
SELECT e.stream_id, lithair.merge(e.data) AS state,
    max(e.version) FILTER (WHERE e.kind = 'd') IS DISTINCT FROM max(e.version) FILTER (WHERE e.kind <> 'n')
      AND bool_or(e.kind <> 'n') AS alive,
    max(e.version) AS version, count(*) AS events
  FROM (SELECT e.stream_id, e.version, e.kind, e.data
          FROM lithair.events e JOIN lithair.streams s ON s.id = e.stream_id
         WHERE s.tenant_id = {self.shape.tenant_id} AND s.name = {self.stream} {where}
         ORDER BY e.stream_id, e.version) e
 GROUP BY e.stream_id""")

    def record(self, state: str = "f.state") -> str:
        """Write the state as a row of the table's type, to stand in FROM as ``RECORD``."""
        return f"jsonb_populate_record(NULL::{self.target}, {state}) {RECORD}"

    def values(self, columns: tuple[ColumnValue, ...], state: str = "f.state", record: str = RECORD) -> str:
        """Write the columns' values, read from the state and its record."""
        return ", ".join(column.decode(state, record) for column in columns)

    def image(self, row: str, *, state: str | None = None) -> str:
        """Write ROW(…) of everything that must be equal in row and log."""
        parts = [
            column.image(f"{row}.{column.quoted}" if state is None else column.decode(state, row))
            for column in self.shape.columns
            if not column.perhaps_virtual
        ]
        return f"ROW({', '.join(parts)})"

    def match(self, left: str, right: str) -> str:
        """Write the condition that two rows have the same key, fit for a FULL JOIN."""
        if any(key.nullable for key in self.shape.keys):
            return f"{key_expression(self.shape.keys, left)} = {key_expression(self.shape.keys, right)}"
        return same_key(self.shape, left, right)


def folding(connection: Connection, table: Table) -> Folding:
    """Return how a table's rows are folded in the database that ``connection`` is on.

    Raises:
        MappingError: the table is not event-sourced.
    """
    if guard_of(table) is None:
        raise MappingError(f"table {table.fullname} is not event-sourced")
    library = LibraryTables.of(table.metadata)
    names = names_in(connection, library.config)
    return Folding(table, qualified(table, names), names, shape_of(table, names.config))


def _whole(target: Any) -> MetaData | None:
    """Return the metadata that is meant by a ``MetaData`` or by a base, which is itself not mapped."""
    if isinstance(target, MetaData):
        return target
    metadata = getattr(target, "metadata", None)
    return metadata if isinstance(metadata, MetaData) and not hasattr(target, "__mapper__") else None


def event_sourced_tables(target: Any) -> list[Table]:
    """Return the event-sourced tables of a class (base table first), or the table itself.

    Args:
        target: an event-sourced class or table; a declarative base or ``MetaData`` for all that it has, parents first.

    Raises:
        MappingError: there is none.
    """
    if isinstance(target, Table):
        found = [target] if guard_of(target) is not None else []
    elif (metadata := _whole(target)) is not None:
        found = [table for table in metadata.sorted_tables if guard_of(table) is not None]
    else:
        model_options(target)
        found = [table for table in tables_of(target.__mapper__) if guard_of(table) is not None]
    if not found:
        raise MappingError(f"{getattr(target, '__name__', target)} is not event-sourced: give it the mixin or enrol it")
    return found
