"""One object, out of its events: the newest usable snapshot and the tail, in the ORM's own types.

The state is handed to SQLAlchemy as a common table expression of the table's name, so that the ordinary ``select()`` of
the class reads the log instead of the row, with every column's type at work and inheritance as it is mapped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from sqlalchemy import BindParameter, Connection, bindparam, column, inspect, select, text
from sqlalchemy.orm import Mapper, Session, lazyload, with_polymorphic
from sqlalchemy.sql.selectable import CTE

from lithair_sqla.errors import OptionError, StreamNotFoundError
from lithair_sqla.model.declarative import model_options, tables_of
from lithair_sqla.model.fold import RECORD, Folding, folding
from lithair_sqla.model.pinning import pinned
from lithair_sqla.model.travel.translation import Translation
from lithair_sqla.schema.guards import guard_of
from lithair_sqla.types import StreamId

__all__ = ["identity_of", "rebuild_from_events", "stream_id"]

T = TypeVar("T")


def identity_of(mapper: Mapper[Any], key: Any) -> tuple[Any, ...]:
    """Return a primary key as a tuple, one value a column.

    Raises:
        OptionError: it has another number of values than the key has columns.
    """
    values = tuple(key) if isinstance(key, (tuple, list)) else (key,)
    if len(values) != len(mapper.primary_key):
        names = ", ".join(column.name for column in mapper.primary_key)
        raise OptionError(
            f"the primary key of {mapper.class_.__name__} is ({names}): {len(values)} values do not make one"
        )
    return values


def key_parameter(fold: Folding) -> str:
    """Write the key of a stream, made by the database itself of the bound values ``:key_0`` and so on."""
    parts = [key.key_of(f"((:key_{index})::{key.sql_type})") for index, key in enumerate(fold.shape.keys)]
    return parts[0] if len(parts) == 1 else f"jsonb_build_array({', '.join(parts)})::text"


def key_binds(fold: Folding) -> list[BindParameter[Any]]:
    """Return the parameters that ``key_parameter`` names, with the types of the table's key columns."""
    return [bindparam(f"key_{index}", type_=key.type) for index, key in enumerate(fold.key_columns)]


def stream_id(connection: Connection, fold: Folding, values: Sequence[Any]) -> StreamId:
    """Return the stream that holds a row.

    Args:
        connection: on the database.
        fold: the row's table.
        values: the key's values, as Python knows them, in the order of the table's key columns.
    """
    statement = text(f"SELECT {_escape_casts(key_parameter(fold))}").bindparams(*key_binds(fold))
    parameters = {f"key_{index}": value for index, value in enumerate(values)}
    with pinned(connection, fold.shape.keys):
        found: str = connection.execute(statement, parameters).scalar_one()
    return StreamId(fold.shape.stream, found, fold.shape.tenant_id)


def rebuild_from_events(session: Session, class_: type[T], key: Any) -> T:
    """Return the object as its events make it, without reading its row.

    Args:
        session: on the database that holds the log; its own objects stay as they are.
        class_: an event-sourced class; the object may be of a subclass.
        key: the primary key; a tuple where it has several columns.

    Returns:
        A detached object.

    Raises:
        MappingError: the class is not event-sourced.
        StreamNotFoundError: no live stream has that key.
    """
    model_options(class_)
    mapper: Mapper[T] = inspect(class_)
    values = identity_of(mapper, key)
    connection = session.connection(bind_arguments={"mapper": mapper})
    tables = {table: None for descendant in mapper.self_and_descendants for table in tables_of(descendant)}
    guarded = [table for table in tables if guard_of(table) is not None]
    translation = Translation.of(connection, {})
    names = translation.shadow_names(guarded)
    shadows = [_shadow(folding(connection, table), name) for table, name in names.items()]
    entity = class_ if mapper.polymorphic_on is None else with_polymorphic(class_, "*")
    statement = select(entity).options(lazyload("*")).add_cte(*shadows)
    with Session(bind=connection, autoflush=False, expire_on_commit=False) as reader:
        result = reader.scalars(
            statement,
            {f"key_{index}": value for index, value in enumerate(values)},
            execution_options=translation.execution_options(connection, names),
        )
        # Tables of concrete inheritance have keys of their own: a subclass's row may bear the same.
        candidates = sorted(result.unique(), key=lambda item: type(item) is not class_)
        found = candidates[0] if candidates else None
        if found is None:
            raise StreamNotFoundError(
                f"no live stream of {class_.__name__} has key {key!r}: it never had events, or the row was deleted"
            )
        reader.expunge(found)
    return found


def _shadow(fold: Folding, name: str) -> CTE:
    """Write one stream's state, newest usable snapshot and tail, as a table that stands for the row's table."""
    columns = fold.shape.columns
    body = fold.names.render(f"""\
SELECT {", ".join(f"{value.decode('f.state', RECORD)} AS {value.quoted}" for value in columns)}
  FROM lithair.streams s
  LEFT JOIN LATERAL (
    SELECT n.version, n.position, n.state FROM lithair.snapshots n
     WHERE n.stream_id = s.id AND n.fingerprint = '{fold.shape.fingerprint}' ORDER BY n.version DESC LIMIT 1) n ON true
  CROSS JOIN LATERAL (
    SELECT coalesce(n.state, '{{}}') || coalesce(lithair.merge(e.data ORDER BY e.version), '{{}}') AS state
      FROM lithair.events e
     WHERE e.stream_id = s.id AND e.version > coalesce(n.version, 0)
       AND e.position >= coalesce(n.position, s.first_position)) f
  CROSS JOIN LATERAL {fold.record()}
 WHERE s.tenant_id = {fold.shape.tenant_id} AND s.name = {fold.stream} AND s.status = 0 AND s.key = """)
    types = {column.name: column.type for column in fold.table.columns}
    typed = [column(value.name, types[value.name]) for value in columns]
    # text() takes a colon for a parameter: every one but the key's is escaped.
    statement = text(body.replace(":", r"\:") + _escape_casts(key_parameter(fold)))
    return statement.bindparams(*key_binds(fold)).columns(*typed).cte(name)


def _escape_casts(expression: str) -> str:
    return expression.replace("::", r"\:\:")
