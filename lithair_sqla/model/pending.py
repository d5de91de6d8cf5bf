"""What a session has been told and not yet sent: named calls, notes and expectations, each in its transaction's buffer.

A buffer belongs to a ``SessionTransaction``: a savepoint that is rolled back takes its calls and notes along, one that
is released hands them to its parent. What an outer transaction was told and a savepoint has sent waits again once that
savepoint is rolled back. Expectations belong to the outermost transaction and outlive savepoints.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID
from weakref import WeakKeyDictionary, WeakSet

from sqlalchemy.orm import InstanceState, Session, SessionTransaction

from lithair_sqla.model.payloads import Payload
from lithair_sqla.model.restoring import Memory

__all__ = [
    "Buffer",
    "Expectation",
    "Queued",
    "Running",
    "buffer_of",
    "buffers_of",
    "commit_begins",
    "committed",
    "ended",
    "forget",
    "is_committing",
    "is_queued",
    "mark_for",
    "waiting",
    "wake",
]

_MOST_TOUCHED: Final = 10_000


@dataclass(slots=True, eq=False)
class Queued:
    """An event that waits to be sent: a call of an ``@emits`` method, or a note.

    Attributes:
        state: the object's.
        type: the event's type.
        payload: the arguments, by name.
        mark: a position; only events after it are the call's. ``None``: to be asked for before anything is written.
        event_id: given only where another call names this one as its cause.
        causation_id: the event of the call this one was made in.
        flushes: how many flushes wrote the object during the call and with its end.
        is_note: it changes no row, whatever the flush does.
    """

    state: InstanceState[Any]
    type: str
    payload: Payload
    mark: int | None = 0
    event_id: UUID | None = None
    causation_id: UUID | None = None
    flushes: int = 0
    is_note: bool = False


@dataclass(slots=True, eq=False, kw_only=True)
class Running(Queued):
    """A call that has not returned, and what its object was before."""

    memory: Memory


@dataclass(slots=True, eq=False)
class Expectation:
    """A version that an object's stream must be at before this transaction changes it."""

    state: InstanceState[Any]
    version: int
    mark: int | None = 0
    checked: bool = False


@dataclass(slots=True, eq=False)
class Buffer:
    """What waits for the next flush of one transaction.

    Attributes:
        queue: finished calls and notes, in the order they were made.
        called: objects of the queue's calls.
        expectations: of the outermost transaction only.
        open: calls now running, innermost last.
        touched: objects whose events of this transaction may still bear the guard's names.
        touched_all: any row's may.
        borrowed: what this savepoint sent for outer transactions.
        committed: the transaction ended well.
    """

    queue: list[Queued] = field(default_factory=list)
    called: set[InstanceState[Any]] = field(default_factory=set)
    expectations: list[Expectation] = field(default_factory=list)
    open: list[Running] = field(default_factory=list)
    touched: set[InstanceState[Any]] = field(default_factory=set)
    touched_all: bool = False
    borrowed: list[tuple[Buffer, Queued]] = field(default_factory=list)
    committed: bool = False

    def add(self, item: Queued) -> None:
        """Queue a call or a note."""
        self.queue.append(item)
        if not item.is_note:
            self.called.add(item.state)

    def take(self) -> list[Queued]:
        """Empty the queue and return what was in it."""
        taken, self.queue = self.queue, []
        self.called.clear()
        return taken

    def touch(self, states: Iterable[InstanceState[Any]]) -> None:
        """Note objects that a flush wrote. Of very many it is not remembered which."""
        self.touched.update(states)
        if len(self.touched) > _MOST_TOUCHED:
            self.touched.clear()
            self.touched_all = True

    @property
    def has_work(self) -> bool:
        """Whether there is something to send."""
        return bool(self.queue) or any(not expectation.checked for expectation in self.expectations)


_buffers: WeakKeyDictionary[SessionTransaction, Buffer] = WeakKeyDictionary()
_committing: WeakSet[SessionTransaction] = WeakSet()
_waiting: WeakKeyDictionary[InstanceState[Any], list[Queued]] = WeakKeyDictionary()


def buffer_of(session: Session, *, outermost: bool = False) -> Buffer:
    """Return the buffer of a session's innermost (or outermost) transaction, beginning one where there is none."""
    transaction = session.get_transaction() or session.begin()
    if not outermost:
        transaction = session.get_nested_transaction() or transaction
    found = _buffers.get(transaction)
    if found is None:
        found = _buffers[transaction] = Buffer()
    return found


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


def is_queued(session: Session, state: InstanceState[Any]) -> bool:
    """Tell whether a call of an object waits to be named."""
    return any(state in buffer.called for buffer in buffers_of(session))


def mark_for(session: Session, state: InstanceState[Any]) -> int | None:
    """Return the mark of what is queued now: needed only where earlier events could be taken for its own."""
    touched = any(buffer.touched_all or state in buffer.touched for buffer in buffers_of(session))
    return None if touched else 0


def waiting(item: Queued) -> None:
    """Keep a call of an object that is in no session yet. Its create takes the first name, further calls are notes."""
    earlier = _waiting.setdefault(item.state, [])
    item.is_note = bool(earlier)
    earlier.append(item)


def wake(session: Session) -> None:
    """Queue the waiting calls of objects that have come into a session since."""
    if not _waiting:
        return
    for state in [state for state in list(_waiting) if state.session is session]:
        buffer = buffer_of(session)
        for item in _waiting.pop(state, ()):
            buffer.add(item)


def forget(session: Session, state: InstanceState[Any]) -> None:
    """Drop the calls of an object that was expired or refreshed: the change they named is gone."""
    for buffer in buffers_of(session):
        if state in buffer.called:
            buffer.called.discard(state)
            buffer.queue = [item for item in buffer.queue if item.is_note or item.state is not state]


def commit_begins(session: Session) -> None:
    """Note that what is queued from now on must be sent at once: the last flush has begun."""
    transaction = session.get_transaction()
    if transaction is not None:
        _committing.add(transaction)


def is_committing(session: Session) -> bool:
    """Tell whether the last flush of a session's transaction has begun."""
    return session.get_transaction() in _committing


def committed(session: Session) -> None:
    """Note that the transaction which is about to end has ended well."""
    transaction = session.get_nested_transaction() or session.get_transaction()
    buffer = None if transaction is None else _buffers.get(transaction)
    if buffer is not None:
        buffer.committed = True


def ended(transaction: SessionTransaction) -> None:
    """Let a transaction's buffer go: to its parent where it ended well, with all that is in it where not."""
    buffer = _buffers.pop(transaction, None)
    if transaction.parent is None or not (transaction.nested or buffer):
        return
    if buffer is not None and buffer.committed:
        _hand_over(buffer, _buffers.setdefault(transaction.parent, Buffer()))
        return
    for owner, item in () if buffer is None else buffer.borrowed:
        owner.add(item)
    parent: SessionTransaction | None = transaction.parent
    while parent is not None:
        outer = _buffers.get(parent)
        for expectation in () if outer is None else outer.expectations:
            expectation.checked = False
        parent = parent.parent


def _hand_over(buffer: Buffer, parent: Buffer) -> None:
    for item in buffer.queue:
        parent.add(item)
    parent.open.extend(buffer.open)
    parent.touched_all = parent.touched_all or buffer.touched_all
    parent.touch(buffer.touched)
    parent.borrowed.extend((owner, item) for owner, item in buffer.borrowed if owner is not parent)
