"""The one call after a flush: names for its own events, notes, expectations; none where there is nothing to say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Table, event
from sqlalchemy.orm import InstanceState, Session, SessionTransaction, UOWTransaction
from sqlalchemy.orm.attributes import instance_state

from lithair_sqla.errors import CommandError
from lithair_sqla.model.commands import plain_json, waiting_calls
from lithair_sqla.model.declarative import EventSourced, is_event_sourced
from lithair_sqla.model.fold import folding
from lithair_sqla.model.keys import guarded_tables, identity_values, key_text
from lithair_sqla.model.pending import (
    Buffer,
    Call,
    Expectation,
    Note,
    buffer_of,
    buffers_of,
    discarded,
    forget,
    released,
)
from lithair_sqla.schema.names import Names

__all__: list[str] = []


@event.listens_for(Session, "before_flush")
def _before_flush(session: Session, *_: Any) -> None:
    """Note, while attributes still know, which tables the flush will change for the objects of waiting calls."""
    for item in session.new:
        if is_event_sourced(type(item)):
            for call in waiting_calls(instance_state(item)):
                buffer_of(session).calls.append(call)
    for buffer in buffers_of(session):
        for call in (*buffer.calls, *buffer.open):
            call.tables = _changed_tables(session, call.state)


@event.listens_for(Session, "after_flush")
def _after_flush(session: Session, flush_context: UOWTransaction) -> None:
    buffers = buffers_of(session)
    if not buffers:
        if any(is_event_sourced(state.class_) for state in flush_context.states):
            buffer_of(session, outermost=True).flushed = True
        return
    for buffer in buffers:
        for call in buffer.open:
            # An autoflush in the middle of a method is part of it.
            if call.tables and not call.named:
                call.named = True
                call.event_id = call.event_id or uuid4()  # calls made later in the method name it as their cause
                buffer.calls.append(call)
    _send(session, buffers)
    buffers[-1].flushed = True


@event.listens_for(Session, "before_commit")
def _before_commit(session: Session) -> None:
    buffers = buffers_of(session)
    if any(buffer.open for buffer in buffers):
        running = next(buffer.open[-1] for buffer in buffers if buffer.open)
        raise CommandError(
            f"a commit inside the @emits method of {running.type!r}: its event is whole only when the method returns; "
            "commit after it"
        )
    if any(_has_work(buffer) for buffer in buffers):
        session.flush()
        _send(session, buffers_of(session))


@event.listens_for(Session, "after_soft_rollback")
def _after_soft_rollback(_: Session, transaction: SessionTransaction) -> None:
    discarded(transaction)


@event.listens_for(Session, "after_transaction_end")
def _after_transaction_end(_: Session, transaction: SessionTransaction) -> None:
    released(transaction)


@event.listens_for(EventSourced, "expire", propagate=True, raw=True)
@event.listens_for(EventSourced, "refresh", propagate=True, raw=True)
def _reloaded(state: InstanceState[Any], *_: Any) -> None:
    if state.session is not None and buffers_of(state.session):
        forget(state.session, state)


def _has_work(buffer: Buffer) -> bool:
    return bool(buffer.calls or buffer.notes or any(not item.checked for item in buffer.expectations))


def _changed_tables(session: Session, state: InstanceState[Any]) -> tuple[Table, ...]:
    item = state.obj()
    if item is None:
        return ()
    tables = [table for table, _ in guarded_tables(state)]
    if item in session.new or item in session.deleted:
        return tuple(tables)
    if not session.is_modified(item):
        return ()
    changed = {
        column.table
        for attribute in state.mapper.column_attrs
        if attribute.key in state.dict and state.attrs[attribute.key].history.has_changes()
        for column in attribute.columns
    }
    # A change of a relationship alone shows in a column only once the flush has set the foreign key.
    return tuple(table for table in tables if table in changed) or tuple(tables)


def _send(session: Session, buffers: list[Buffer]) -> None:  # noqa: C901 - three lists, one after the other
    requests: dict[Connection, _Request] = {}

    def request(state: InstanceState[Any]) -> _Request:
        connection = session.connection(bind_arguments={"mapper": state.mapper})
        if connection not in requests:
            names = folding(connection, guarded_tables(state)[0][0]).names
            requests[connection] = _Request(connection, names)
        return requests[connection]

    for buffer in reversed(buffers):
        for expectation in buffer.expectations:
            if not expectation.checked:
                request(expectation.state).expect(expectation)
        for call in buffer.calls:
            request(call.state).call(call)
        for note in buffer.notes:
            request(note.state).note(note)
    for found in requests.values():
        found.send()
    for buffer in buffers:
        buffer.calls.clear()
        buffer.notes.clear()
        for expectation in buffer.expectations:
            expectation.checked = True


@dataclass(slots=True, eq=False)
class _Request:
    """What one connection is to be told, in the words of ``after_flush.sql``."""

    connection: Connection
    names: Names
    expectations: list[dict[str, Any]] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)

    def expect(self, expectation: Expectation) -> None:
        name, key = self._streams(expectation.state, ())[0]
        self.expectations.append({"n": name, "k": key, "e": expectation.version, "m": expectation.mark})

    def call(self, call: Call) -> None:
        self.calls.append(
            {
                "s": self._streams(call.state, call.tables),
                "t": call.type,
                "p": call.payload,
                "m": call.mark,
                "i": call.event_id,
                "c": call.causation_id,
                "v": guarded_tables(call.state)[0][1].schema_version,
                "note": not call.tables,
            }
        )

    def note(self, note: Note) -> None:
        name, key = self._streams(note.state, ())[0]
        version = guarded_tables(note.state)[0][1].schema_version
        self.notes.append({"n": name, "k": key, "t": note.type, "p": note.payload, "v": version})

    def send(self) -> None:
        content = plain_json({"expect": self.expectations, "calls": self.calls, "notes": self.notes}).decode()
        config = self.names.config
        self.connection.exec_driver_sql(
            f"SELECT {self.names.object('after_flush')}(%s, %s, %s::jsonb)", (config.tenant_id, config.node_id, content)
        )

    def _streams(self, state: InstanceState[Any], tables: tuple[Table, ...]) -> list[tuple[str, str]]:
        """Return (name, key) of an object's streams in the given tables; of its base table where none is given."""
        guarded = guarded_tables(state)
        chosen = [(table, guard) for table, guard in guarded if table in tables] or guarded[:1]
        values = identity_values(state)
        return [(guard.stream, key_text(self.connection, table, guard, values)) for table, guard in chosen]
