"""The one call after a flush: names for its own events, notes, expectations; none where there is nothing to say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Table, event
from sqlalchemy.orm import InstanceState, Mapper, ORMExecuteState, Session, SessionTransaction, UOWTransaction

from lithair_sqla.errors import CommandError
from lithair_sqla.model.announcing import is_autocommit
from lithair_sqla.model.declarative import EventSourced, is_event_sourced
from lithair_sqla.model.hooks import prepare
from lithair_sqla.model.keys import guarded_tables, has_key, stream_key
from lithair_sqla.model.pending import (
    Buffer,
    Expectation,
    Queued,
    buffer_of,
    buffers_of,
    commit_begins,
    committed,
    ended,
    forget,
    is_committing,
    wake,
)
from lithair_sqla.schema.create import names_in
from lithair_sqla.schema.names import Names
from lithair_sqla.schema.tables import LibraryTables

__all__ = ["listen_again", "send_if_committing", "watch_reloads"]

_REACH_A_FLUSH: Final = 16
"""How many events a flush may write for one row: more than one come of a user's triggers."""


def _before_flush(session: Session, *_: Any) -> None:
    wake(session)
    buffers = buffers_of(session)
    for buffer in buffers:
        for call in buffer.open:
            call.memory.flushing()
    _refuse_autocommit(session, buffers)
    _mark(session, buffers)


def _refuse_autocommit(session: Session, buffers: Iterable[Buffer]) -> None:
    """Refuse calls and expectations before the flush that they belong to: there is no transaction to hold both."""
    found: dict[Mapper[Any], str] = {}
    for buffer in buffers:
        found.update((item.state.mapper, "expect()") for item in buffer.expectations if not item.checked)
        calls = (call for call in (*buffer.queue, *buffer.open) if not call.is_note)
        found.update((call.state.mapper, f"@emits({call.type!r})") for call in calls)
    for mapper, what in found.items():
        if is_autocommit(session.connection(bind_arguments={"mapper": mapper})):
            raise CommandError(f"{what} needs a transaction to belong to, and this connection is in AUTOCOMMIT")


def _after_flush(session: Session, flush_context: UOWTransaction) -> None:
    states = flush_context.states
    classes = {class_: is_event_sourced(class_) for class_ in {state.class_ for state in states}}
    if not any(classes.values()):
        return
    touched = set(states) if all(classes.values()) else {state for state in states if classes[state.class_]}
    buffers = buffers_of(session)
    for buffer in buffers:
        for call in (*buffer.queue, *buffer.open):
            if not call.is_note and call.state in touched:
                call.flushes += 1
        # What one flush did to one row has its name now.
        touched.difference_update(
            call.state for call in buffer.queue if call.flushes == 1 and len(guarded_tables(call.state)) == 1
        )
    _send(session, buffers)
    buffer_of(session).touch(touched)


def _do_orm_execute(state: ORMExecuteState) -> None:
    """A bulk statement may write rows whose objects have something to say of them: what comes after it is not its."""
    if state.is_select:
        return
    buffers = buffers_of(state.session)
    if buffers:
        _mark(state.session, buffers)
    buffer_of(state.session).touched_all = True


def _before_commit(session: Session) -> None:
    if session.in_nested_transaction():
        return
    wake(session)
    buffers = buffers_of(session)
    running = next((buffer.open[-1] for buffer in buffers if buffer.open), None)
    if running is not None:
        raise CommandError(
            f"a commit inside the @emits method of {running.type!r}: its event is whole only when the method returns; "
            "commit after it"
        )
    commit_begins(session)
    if any(buffer.has_work for buffer in buffers):
        session.flush()
        _refuse_autocommit(session, buffers)
        _send(session, buffers_of(session))


def _after_commit(session: Session) -> None:
    committed(session)


def _after_transaction_end(_: Session, transaction: SessionTransaction) -> None:
    ended(transaction)


def _expired(state: InstanceState[Any], _: Any) -> None:
    """An object that is expired has lost the change that its queued call named; a flush expires to have loaded anew."""
    session = state.session
    if session is not None and not state.committed_state and not session._flushing:  # noqa: SLF001
        forget(session, state)


def _refreshed(state: InstanceState[Any], _: Any, attributes: Any) -> None:
    """So has one that was overwritten by a query; loading what was expired names its attributes."""
    session = state.session
    if attributes is None and session is not None:
        forget(session, state)


_LISTENERS: Final = (
    ("before_flush", _before_flush),
    ("after_flush", _after_flush),
    ("do_orm_execute", _do_orm_execute),
    ("before_commit", _before_commit),
    ("after_commit", _after_commit),
    ("after_transaction_end", _after_transaction_end),
)


def listen_again(session: Session) -> None:
    """Make sessions ours once more where an application has removed all listeners, as some test suites do.

    Args:
        session: looked at no more once it has something to send.
    """
    if not buffers_of(session):
        _listen()


def _listen() -> None:
    for name, listener in _LISTENERS:
        if not event.contains(Session, name, listener):
            event.listen(Session, name, listener)


def watch_reloads(class_: type) -> None:
    """Drop what is queued for an object of a class when the object is expired or refreshed."""
    event.listen(class_, "expire", _expired, propagate=True, raw=True)
    event.listen(class_, "refresh", _refreshed, propagate=True, raw=True)


_listen()
watch_reloads(EventSourced)


def send_if_committing(session: Session | None) -> None:
    """Send at once what a listener of the commit itself has queued: there may be no later flush."""
    if session is not None and is_committing(session):
        if not session._flushing:  # noqa: SLF001 - there is no other way to tell
            session.flush()
        _send(session, buffers_of(session))


def _mark(session: Session, buffers: Iterable[Buffer]) -> None:
    """Ask for the last position drawn, where what was written before could be taken for what comes."""
    by_connection: dict[Connection, list[Queued | Expectation]] = {}
    for buffer in buffers:
        items: list[Queued | Expectation] = [*buffer.queue, *buffer.open, *buffer.expectations]
        for item in items:
            if item.mark is None:
                connection = session.connection(bind_arguments={"mapper": item.state.mapper})
                by_connection.setdefault(connection, []).append(item)
    for connection, unmarked in by_connection.items():
        table = guarded_tables(unmarked[0].state)[0][0]
        position = _names(connection, table).object("position").replace("%", "%%")
        mark: int = connection.exec_driver_sql(f"SELECT last_value FROM {position}").scalar_one()
        for item in unmarked:
            item.mark = mark


def _names(connection: Connection, table: Table) -> Names:
    return names_in(connection, LibraryTables.of(table.metadata).config)


def _send(session: Session, buffers: list[Buffer]) -> None:
    """Send all that waits, of outer transactions too; a savepoint remembers what it sent for them."""
    _mark(session, buffers)
    requests = _Requests(session)
    sent: list[tuple[Buffer, Queued]] = []
    for buffer in reversed(buffers):
        for expectation in buffer.expectations:
            if not expectation.checked and has_key(expectation.state):
                requests.of(expectation.state).expect(expectation)
        sent += [(buffer, item) for item in buffer.queue]
    for _, item in sent:
        # One that left the session takes its event along.
        if item.state.session is session:
            requests.of(item.state).add(item)
    for request in requests.by_connection.values():
        request.send()
    for buffer in buffers:
        buffer.take()
        for expectation in buffer.expectations:
            expectation.checked = True
    if len(buffers) > 1:
        buffers[0].borrowed.extend((owner, item) for owner, item in sent if owner is not buffers[0])


class _Requests:
    """One request for each connection that a session's objects are on."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._by_mapper: dict[Mapper[Any], _Request] = {}
        self.by_connection: dict[Connection, _Request] = {}

    def of(self, state: InstanceState[Any]) -> _Request:
        found = self._by_mapper.get(state.mapper)
        if found is None:
            connection = self._session.connection(bind_arguments={"mapper": state.mapper})
            tables = [table for table, _ in guarded_tables(state)]
            if connection not in self.by_connection:
                prepare(connection, tables)
                self.by_connection[connection] = _Request(connection, _names(connection, tables[0]))
            found = self._by_mapper[state.mapper] = self.by_connection[connection]
        return found


@dataclass(slots=True, eq=False)
class _Request:
    """What one connection is to be told, in the words of ``after_flush.sql``."""

    connection: Connection
    names: Names
    expectations: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)

    def expect(self, expectation: Expectation) -> None:
        name, key = self._streams(expectation.state)[0]
        self.expectations.append({"n": name, "k": key, "e": expectation.version, "m": expectation.mark})

    def add(self, item: Queued) -> None:
        found: dict[str, Any] = {
            "s": self._streams(item.state),
            "t": item.type,
            "p": item.payload.json(),
            "v": guarded_tables(item.state)[0][1].schema_version,
        }
        if item.flushes:
            found |= {"m": item.mark, "w": item.flushes * _REACH_A_FLUSH}
        if item.event_id is not None:
            found["i"] = item.event_id
        if item.causation_id is not None:
            found["c"] = item.causation_id
        self.events.append(found)

    def send(self) -> None:
        content: dict[str, Any] = {"events": self.events}
        if self.expectations:
            content["expect"] = self.expectations
        config = self.names.config
        function = self.names.object("after_flush").replace("%", "%%")
        self.connection.exec_driver_sql(
            f"SELECT {function}(%s, %s, %s::jsonb)",
            (config.tenant_id, config.node_id, msgspec.json.encode(content).decode()),
        )

    def _streams(self, state: InstanceState[Any]) -> list[tuple[str, str]]:
        """Return (name, key) of an object's streams, base table first."""
        return [
            (guard.stream, stream_key(self.connection, state, table, guard)) for table, guard in guarded_tables(state)
        ]
