"""What a session does beside flushing: it checks the guards once an engine, and says who writes and why.

Nothing here captures anything: the guard does. Listeners are global on ``Session`` and reach every kind of session; for
classes without the mixin they cost a look-up. A flush without a context, on an engine that was checked, sends nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakKeyDictionary

import msgspec
from sqlalchemy import Connection, Engine, Table, TextClause, event
from sqlalchemy.orm import Mapper, ORMExecuteState, Session, class_mapper

from lithair_sqla.context import Context, current_context
from lithair_sqla.model.declarative import is_event_sourced, tables_of
from lithair_sqla.schema.check import check_functions, check_guards, raise_first
from lithair_sqla.schema.create import names_in
from lithair_sqla.schema.guards import guard_of
from lithair_sqla.schema.names import Names
from lithair_sqla.schema.tables import LibraryTables

__all__ = ["announce", "context_json"]

_EMPTY: Final = Context()
_checked: WeakKeyDictionary[Engine, set[Table]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class _Sent:
    """What a transaction has been told."""

    context: str = ""
    refusing: bool = False
    key: str | None = None

    def covers(self, wanted: _Sent) -> bool:
        return (
            self.context == wanted.context
            and self.refusing >= wanted.refusing
            and (wanted.key is None or wanted.key == self.key)
        )


_NOTHING_SENT: Final = _Sent()
_sent: WeakKeyDictionary[Connection, _Sent | None] = WeakKeyDictionary()


def context_json(context: Context) -> str:
    """Write a context as the guard reads it; an empty string for an empty one."""
    found: dict[str, Any] = {}
    if context.user_id is not None:
        found["actor"] = context.user_id
    if context.correlation_id is not None:
        found["correlation_id"] = context.correlation_id
    if context.causation_id is not None:
        found["causation_id"] = context.causation_id
    if context.meta:
        found["meta"] = dict(context.meta)
    return msgspec.json.encode(found).decode() if found else ""


@event.listens_for(Session, "before_flush")
def _before_flush(session: Session, *_: Any) -> None:
    classes = {type(item) for item in session.new}
    classes.update(type(item) for item in session.deleted)
    classes.update(type(item) for item in session.dirty)
    ours = [class_ for class_ in classes if is_event_sourced(class_)]
    if ours:
        _prepare(session, [class_mapper(class_) for class_ in ours])


@event.listens_for(Session, "do_orm_execute")
def _do_orm_execute(state: ORMExecuteState) -> None:
    if state.is_select and not isinstance(state.statement, TextClause):
        return
    mapper = state.bind_mapper
    if mapper is not None and is_event_sourced(mapper.class_):
        _prepare(state.session, [mapper])
    elif current_context() != _EMPTY and not state.is_select:
        # Core DML or text: what it writes to cannot be told, who writes can.
        connection = state.session.connection(bind_arguments=dict(state.bind_arguments))
        if connection.engine in _checked:
            announce(connection)


def _prepare(session: Session, mappers: Iterable[Mapper[Any]]) -> None:
    by_connection: dict[Connection, list[Mapper[Any]]] = {}
    for mapper in mappers:
        connection = session.connection(bind_arguments={"mapper": mapper})
        by_connection.setdefault(connection, []).append(mapper)
    for connection, found in by_connection.items():
        tables = [table for mapper in found for table in tables_of(mapper) if guard_of(table) is not None]
        known = _checked.get(connection.engine)
        if known is None or not known.issuperset(tables):
            _check(connection, tables)
        refusing = any(
            guard is not None and guard.persistence.foreign_writes == "refuse" for guard in map(guard_of, tables)
        )
        names = names_in(connection, LibraryTables.of(tables[0].metadata).config)
        announce(connection, names=names, refusing=refusing)


def _check(connection: Connection, tables: Iterable[Table]) -> None:
    known = _checked.get(connection.engine)
    by_library: dict[int, tuple[LibraryTables, list[Table]]] = {}
    for table in tables:
        if known is None or table not in known:
            library = LibraryTables.of(table.metadata)
            by_library.setdefault(id(library), (library, []))[1].append(table)
    for library, found in by_library.values():
        names = names_in(connection, library.config)
        raise_first([*check_functions(connection, names), *check_guards(connection, found, names)])
        _checked.setdefault(connection.engine, set()).update(found)


def announce(connection: Connection, *, names: Names | None = None, refusing: bool = False) -> None:
    """Send the context in force to the database, once a transaction and again when it changes.

    Args:
        connection: in the transaction that is about to write.
        names: the store written to; without it an idempotency key is left for a later write.
        refusing: a table about to be written refuses writes that no session announced.

    Raises:
        DuplicateCommand: the context's idempotency key was used before.
    """
    current = current_context()
    text = context_json(current)
    key = current.idempotency_key if names is not None else None
    wanted = _Sent(text, refusing, key)
    sent = _sent.get(connection, _NOTHING_SENT)
    if sent is not None and sent.covers(wanted):
        return
    calls, parameters = ["set_config('lithair.context', %s, true)"], [text]
    if refusing:
        calls.append("set_config('lithair.session', pg_current_xact_id()::text, true)")
    if key is not None and names is not None:
        calls.append(f"{names.object('claim_command')}({names.config.tenant_id}, %s, '7 days')")
        parameters.append(key)
    connection.exec_driver_sql(f"SELECT {', '.join(calls)}", tuple(parameters))
    _sent[connection] = wanted


@event.listens_for(Engine, "commit")
@event.listens_for(Engine, "rollback")
@event.listens_for(Engine, "commit_twophase")
@event.listens_for(Engine, "rollback_twophase")
@event.listens_for(Engine, "prepare_twophase")
def _transaction_ended(connection: Connection, *_: Any) -> None:
    """Settings of a transaction end with it."""
    _sent.pop(connection, None)


@event.listens_for(Engine, "rollback_savepoint")
def _rollback_savepoint(connection: Connection, *_: Any) -> None:
    """A rolled back savepoint takes back what was set inside it: what stands now is not known here."""
    if connection in _sent:
        _sent[connection] = None
