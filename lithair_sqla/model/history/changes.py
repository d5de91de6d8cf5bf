"""The changes of one attribute: a window over its events in the database, its values through the column's own type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Column, ColumnClause, DateTime, Table, Text, column, text
from sqlalchemy.orm import ColumnProperty, InstrumentedAttribute, Mapper

from lithair_sqla.codec.values import ColumnValue
from lithair_sqla.errors import MappingError
from lithair_sqla.model.fold import RECORD, Folding
from lithair_sqla.model.history.source import Source, Stream
from lithair_sqla.model.pinning import pinned
from lithair_sqla.schema.names import literal

if TYPE_CHECKING:
    from lithair_sqla.model.history.events import Filter

__all__ = ["Change", "changes_of_class", "changes_of_object"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of one attribute.

    Attributes:
        key: the stream's key.
        version: of the event in its stream.
        position: of the event.
        recorded_at: when.
        type: the event's.
        actor: by whom.
        old: the value before, as the class has it; ``None`` too where there was none.
        new: the value since.
    """

    key: str
    version: int
    position: int
    recorded_at: datetime
    type: str
    actor: str | None
    old: Any
    new: Any

    def __str__(self) -> str:
        """Read as ``3: 9.90 → 12.00 by ana``."""
        by = f" by {self.actor}" if self.actor else ""
        return f"{self.version}: {self.old} → {self.new}{by}"


def changes_of_object(
    source: Source,
    shown: Filter,
    identity: Sequence[Any],
    attribute: Any,
    *,
    backwards: bool,
    limit: int | None,
) -> list[Change]:
    """Tell the changes of one attribute of one object."""
    fold, value, found = _column(source, attribute)
    stream = next((each for each in source.streams(identity) if each.fold.table is fold.table), None)
    if stream is None:
        return []
    return _changes(source, shown, fold, (value, found), stream=stream, backwards=backwards, limit=limit)


def changes_of_class(
    source: Source, shown: Filter, attribute: Any, *, backwards: bool, limit: int | None
) -> list[Change]:
    """Tell the changes of one attribute of every object of a class."""
    fold, value, found = _column(source, attribute)
    return _changes(source, shown, fold, (value, found), stream=None, backwards=backwards, limit=limit)


def _column(source: Source, attribute: Any) -> tuple[Folding, ColumnValue, Column[Any]]:
    """Find the column that an attribute stands for, and its table."""
    name = attribute.key if isinstance(attribute, InstrumentedAttribute) else attribute
    owner = source.mapper.class_.__name__
    for mapper in source.mapper.self_and_descendants:
        prop = _attribute(mapper, name)
        for fold in source.foldings():
            values = {value.name: value for value in fold.shape.columns}
            for candidate in prop.columns if prop is not None else ():
                if isinstance(candidate, Column) and candidate.table is fold.table and candidate.name in values:
                    return fold, values[candidate.name], candidate
    names = ", ".join(prop.key for prop in source.mapper.column_attrs)
    raise MappingError(f"{owner}.{name} is not a column whose changes are in the log (it has {names})")


def _attribute(mapper: Mapper[Any], name: Any) -> ColumnProperty[Any] | None:
    prop = mapper.attrs.get(name) if isinstance(name, str) else None
    if not isinstance(prop, ColumnProperty):
        return None
    return prop if all(isinstance(getattr(each, "table", None), Table) for each in prop.columns) else None


def _changes(
    source: Source,
    shown: Filter,
    fold: Folding,
    of: tuple[ColumnValue, Column[Any]],
    *,
    stream: Stream | None,
    backwards: bool,
    limit: int | None,
) -> list[Change]:
    value, found = of
    parameters: dict[str, Any] = {}
    if stream is None:
        scope = f"s.tenant_id = {fold.shape.tenant_id} AND s.name = {fold.stream}"
    else:
        scope = "s.id = :stream AND e.position >= :low"
        parameters |= {"stream": stream.id, "low": stream.first_position}
    moment = source.moment
    if moment is not None:
        scope += " AND e.position <= :moment AND e.transaction_id <> ALL (:left_out)"
        parameters |= {"moment": moment.position, "left_out": list(moment.left_out)}
    tests, given = shown.conditions()
    for name, parameter in given.items():
        tests = tests.replace(f"%({name})s", f":{name}")
        parameters[name] = parameter
    decoded = value.decode("e.data", RECORD)
    body = f"""\
SELECT e.key, e.version, e.position, e.recorded_at, e.type, e.actor, e.old, e.new FROM (
  SELECT e.*, lag(e.new) OVER (PARTITION BY e.stream_id ORDER BY e.version) AS old,
      row_number() OVER (PARTITION BY e.stream_id ORDER BY e.version) AS place
    FROM (
      SELECT s.key, e.stream_id, e.version, e.position, e.recorded_at, e.type, e.actor, e.kind, e.correlation_id,
          {decoded} AS new
        FROM lithair.events e JOIN lithair.streams s ON s.id = e.stream_id
        CROSS JOIN LATERAL {fold.record("e.data")}
       WHERE {scope} AND (e.data ? {literal(value.name)} OR e.kind = 'd')) e) e
 WHERE (e.place = 1 OR record_image_ne(ROW({value.image("e.new")}), ROW({value.image("e.old")}))){tests}
 ORDER BY e.position {"DESC" if backwards else ""} LIMIT {"ALL" if limit is None else int(limit)}"""
    typed: list[ColumnClause[Any]] = [
        column("key", Text),
        column("version", BigInteger),
        column("position", BigInteger),
        column("recorded_at", DateTime(timezone=True)),
        column("type", Text),
        column("actor", Text),
        column("old", found.type),
        column("new", found.type),
    ]
    statement = text(_escaped(fold.names.render(body), parameters)).columns(*typed)
    connection = source.connection
    with pinned(connection, [value]):
        rows = connection.execute(statement, parameters).all()
    return [Change(**row._asdict()) for row in rows]


def _escaped(body: str, parameters: dict[str, Any]) -> str:
    """Keep every colon from being taken for a parameter, save those of parameters."""
    escaped = body.replace(":", r"\:")
    for name in parameters:
        escaped = escaped.replace(rf"\:{name}", f":{name}")
    return escaped
