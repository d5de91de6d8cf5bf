"""One object, out of its events: the newest usable snapshot and the tail, in the ORM's own types.

The state is handed to SQLAlchemy as a common table expression of the table's name, so that the ordinary ``select()`` of
the class reads the log instead of the row, with every column's type at work and inheritance as it is mapped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, Table, bindparam, column, inspect, select, text
from sqlalchemy.orm import Mapper, Session, lazyload
from sqlalchemy.sql.selectable import CTE

from lithair_sqla.errors import OptionError, StreamNotFoundError
from lithair_sqla.model.declarative import model_options, tables_of
from lithair_sqla.model.fold import Folding, folding
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
        raise OptionError(f"the primary key of {mapper.class_.__name__} is ({names}): {len(values)} values do not make one")
    return values


def stream_id(connection: Connection, fold: Folding, values: Sequence[Any]) -> StreamId:
    """Return the stream that holds a row, its key written by the database itself.

    Args:
        connection: on the database.
        fold: the row's table.
        values: the key's values, as Python knows them, in the order of the table's key columns.
    """
    parameters = {f"key_{index}": value for index, value in enumerate(values)}
    binds = [
        bindparam(f"key_{index}", type_=fold.table.c[key.name].type) for index, key in enumerate(fold.shape.keys)
    ]
    parts = [key.key_of(f"CAST(:key_{index} AS {key.sql_type})") for index, key in enumerate(fold.shape.keys)]
    expression = parts[0] if len(parts) == 1 else f"jsonb_build_array({', '.join(parts)})::text"
    found: str = connection.execute(text(f"SELECT {expression}").bindparams(*binds), parameters).scalar_one()
    return StreamId(fold.shape.stream, found, fold.shape.tenant_id)


def rebuild_from_events(session: Session, class_: type[T], key: Any) -> T:
    """Return the object as its events make it, without reading its row.

    Args:
        session: on the database that holds the log; its own objects stay as they are.
        class_: an event-sourced class.
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
    shadows: list[CTE] = []
    translated: dict[str | None, None] = {}
    parameters: dict[str, Any] = {}
    for table in tables_of(mapper.with_polymorphic_mappers[0] if mapper.with_polymorphic_mappers else mapper):
        if guard_of(table) is None:
            continue
        fold = folding(connection, table)
        stream = stream_id(connection, fold, values)
        name = f"lithair_key_{len(shadows)}"
        parameters[name] = stream.key
        shadows.append(_shadow(fold, table, name))
        if table.schema is not None:
            translated[table.schema] = None
    statement = select(class_).options(lazyload("*")).add_cte(*shadows)
    reader = Session(bind=connection, autoflush=False, expire_on_commit=False)
    try:
        options = {"schema_translate_map": translated} if translated else {}
        found = reader.scalars(statement, parameters, execution_options=options).unique().one_or_none()
        if found is None:
            raise StreamNotFoundError(
                f"no live stream of {class_.__name__} has key {key!r}: it never had events, or the row was deleted"
            )
        reader.expunge(found)
        return found
    finally:
        reader.close()


def _shadow(fold: Folding, table: Table, name: str) -> CTE:
    """Write one stream's state, newest snapshot and tail, as a table of the same name."""
    columns = fold.shape.columns
    body = fold.names.render(f"""\
SELECT {fold.values(columns)}
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
 WHERE s.tenant_id = {fold.shape.tenant_id} AND s.name = {fold.stream} AND s.key = :{name} AND s.status = 0""")
    typed = [column(value.name, table.c[value.name].type) for value in columns]
    return _escape_colons(body, name).columns(*typed).cte(table.name)


def _escape_colons(body: str, name: str) -> Any:
    """Make ``text()`` leave every colon alone but the parameter's own."""
    marked = body.replace(f":{name}", "\0").replace(":", r"\:").replace("\0", f":{name}")
    return text(marked).bindparams(bindparam(name))
