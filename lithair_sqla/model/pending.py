"""What a session has been told and not yet sent: named calls, notes and expectations, each in its transaction's buffer.

A buffer belongs to a ``SessionTransaction``: a savepoint that is rolled back takes its calls and notes along, one that
is released hands them to its parent. Expectations belong to the outermost transaction and outlive savepoints.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

from sqlalchemy import Table
from sqlalchemy.orm import InstanceState, Session, SessionTransaction

__all__ = ["Buffer", "Call", "Expectation", "Note", "buffer_of", "buffers_of", "forget"]


@dataclass(slots=True, eq=False)
class Call:
    """One call of an ``@emits`` method.

    Attributes:
        state: the object's.
        type: the event's type.
        payload: the arguments, by name.
        mark: a position; only events after it are the call's.
        event_id: given only where another call names this one as its cause.
        causation_id: the event of the call this one was made in.
        tables: those that the coming flush changes for the object; empty where it changes nothing.
        named: an autoflush inside the method gave the event its name already.
    """

    state: InstanceState[Any]
    type: str
    payload: dict[str, Any]
    mark: int = 0
    event_id: UUID | None = None
    causation_id: UUID | None = None
    tables: tuple[Table, ...] = ()
    named: bool = False


@dataclass(slots=True, eq=False)
class Note:
    """An event that changes no row."""

    state: InstanceState[Any]
    type: str
    payload: dict[str, Any]


@dataclass(slots=True, eq=False)
class Expectation:
    """A version that an object's stream must be at before this transaction changes it."""

    state: InstanceState[Any]
    version: int
    mark: int = 0
    checked: bool = False


@dataclass(slots=True, eq=False)
class Buffer:
    """What waits for the next flush of one transaction.

    Attributes:
        calls: finished calls whose events are not named yet.
        notes: notes not sent yet.
        expectations: of the outermost transaction only.
        open: calls now running, innermost last.
        flushed: something of ours was flushed in this transaction.
    """

    calls: list[Call] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    expectations: list[Expectation] = field(default_factory=list)
    open: list[Call] = field(default_factory=list)
    flushed: bool = False


_buffers: WeakKeyDictionary[SessionTransaction, Buffer] = WeakKeyDictionary()


def buffer_of(session: Session, *, outermost: bool = False) -> Buffer:
    """Return the buffer of a session's innermost (or outermost) transaction, beginning one where there is none."""
    transaction = session.get_transaction()
    if transaction is None:
        session.begin()
        transaction = session.get_transaction()
    assert transaction is not None  # noqa: S101 - just begun
    if not outermost:
        transaction = session.get_nested_transaction() or transaction
    return _buffers.setdefault(transaction, Buffer())


def buffers_of(session: Session) -> list[Buffer]:
    """Return the buffers that a session's open transactions have, innermost first."""
    found = []
    transaction = session.get_nested_transaction() or session.get_transaction()
    while transaction is not None:
        buffer = _buffers.get(transaction)
        if buffer is not None:
            found.append(buffer)
        transaction = transaction.parent
    return found


def forget(session: Session, state: InstanceState[Any]) -> None:
    """Drop what was queued for an object that was expired or refreshed: the change it belonged to is gone."""
    for buffer in buffers_of(session):
        buffer.calls = [call for call in buffer.calls if call.state is not state]


def released(transaction: SessionTransaction) -> None:
    """Hand the buffer of a transaction that ended well to its parent."""
    buffer = _buffers.pop(transaction, None)
    if buffer is None or transaction.parent is None:
        return
    parent = _buffers.setdefault(transaction.parent, Buffer())
    parent.calls.extend(buffer.calls)
    parent.notes.extend(buffer.notes)
    parent.open.extend(buffer.open)
    parent.flushed = parent.flushed or buffer.flushed


def discarded(transaction: SessionTransaction) -> None:
    """Let the buffer of a transaction that was rolled back go; its parents' expectations are to be checked again."""
    _buffers.pop(transaction, None)
    parent = transaction.parent
    while parent is not None:
        buffer = _buffers.get(parent)
        if buffer is not None:
            for expectation in buffer.expectations:
                expectation.checked = False
        parent = parent.parent
