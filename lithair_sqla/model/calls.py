"""One call of an ``@emits`` method: flush what was pending, let it run, queue its event or put the object back."""

from __future__ import annotations

from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import inspect
from sqlalchemy.orm import InstanceState, Session
from sqlalchemy.util.concurrency import greenlet_spawn, in_greenlet

from lithair_sqla.errors import CommandError
from lithair_sqla.model.after_flush import listen_again, send_if_committing
from lithair_sqla.model.declarative import is_event_sourced
from lithair_sqla.model.payloads import Payload
from lithair_sqla.model.pending import (
    Buffer,
    Queued,
    Running,
    buffer_of,
    buffers_of,
    is_committing,
    is_queued,
    mark_for,
    waiting,
    wake,
)
from lithair_sqla.model.restoring import Memory

__all__ = ["Run"]

_running: Final[ContextVar[tuple[Queued, ...]]] = ContextVar("lithair_calls", default=())


class Run:
    """The block in which a method's body runs.

    Attributes:
        session: the object's; ``None`` where it is in none yet.
        must_flush: before the block, because changes that are not the call's are pending on its object.
        must_flush_after: after it, because the call around it goes on with the same object.
        must_send: after it, because the session's last flush has begun.
    """

    def __init__(self, item: Any, type_: str, payload: Payload) -> None:
        state = inspect(item, raiseerr=False)
        if not isinstance(state, InstanceState) or not is_event_sourced(state.class_):
            raise CommandError(f"@emits({type_!r}): {type(item).__name__} is not an event-sourced class")
        if state.detached:
            raise CommandError(
                f"@emits({type_!r}): {item!r} is detached, so that nothing would come of its change: add it to a "
                "session first, or merge it and call the method of the copy"
            )
        self._type = type_
        self._payload = payload
        self._state: InstanceState[Any] = state
        self.session: Session | None = state.session
        if self.session is not None:
            listen_again(self.session)
            wake(self.session)
        self._token: Token[tuple[Queued, ...]] | None = None
        self._buffer: Buffer | None = None
        self.must_flush = self.session is not None and (
            is_queued(self.session, state)
            or (state.persistent and bool(state.committed_state) and self.session.is_modified(item))
        )
        self.must_flush_after = False
        self.must_send = False

    def before(self) -> None:
        """Flush what is pending on the object before a synchronous method runs.

        Raises:
            CommandError: it cannot be flushed here.
        """
        if self.must_flush:
            self._flush()

    async def before_async(self) -> None:
        """Flush what is pending on the object before a coroutine runs."""
        if self.must_flush:
            await greenlet_spawn(self._session_to_flush().flush)

    def after(self) -> None:
        """Flush or send what cannot wait, once the method has returned."""
        if self.must_flush_after:
            self._flush()
        elif self.must_send:
            send_if_committing(self.session)

    async def after_async(self) -> None:
        """Flush or send what cannot wait, once the coroutine has returned."""
        if self.must_flush_after:
            await greenlet_spawn(self._session_to_flush().flush)
        elif self.must_send:
            await greenlet_spawn(send_if_committing, self.session)

    def _flush(self) -> None:
        session = self._session_to_flush()
        # Seen before the flush is tried: one that fails rolls back the transaction.
        if session.get_bind(self._state.mapper).dialect.is_async and not in_greenlet():
            raise CommandError(
                f"@emits({self._type!r}): other changes of the object wait to be flushed, which synchronous code "
                "cannot do to an AsyncSession: await session.flush() before the call, make it inside "
                "session.run_sync(), or make the method async"
            )
        session.flush()

    def _session_to_flush(self) -> Session:
        assert self.session is not None  # noqa: S101 - only then is there something to flush
        if self.session._flushing:  # noqa: SLF001 - there is no other way to tell
            raise CommandError(
                f"@emits({self._type!r}): other changes of the object wait to be flushed, which cannot be done inside "
                "a flush: call it once there, or before"
            )
        return self.session

    def __enter__(self) -> None:
        """Open the call."""
        call = Running(self._state, self._type, self._payload, memory=Memory(self._state, self.session))
        outer = _running.get()
        if outer:
            outer[-1].event_id = outer[-1].event_id or uuid4()
            call.causation_id = outer[-1].event_id
            self.must_flush_after = outer[-1].state is self._state and self.session is not None
        self._call = call
        self._token = _running.set((*outer, call))
        if self.session is not None:
            call.mark = mark_for(self.session, self._state)
            self._buffer = buffer_of(self.session)
            self._buffer.open.append(call)

    def __exit__(
        self, class_: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the call: queue its event, or put the object back."""
        assert self._token is not None  # noqa: S101 - set on entering
        _running.reset(self._token)
        call, session = self._call, self.session
        if session is not None:
            for buffer in buffers_of(session):
                if call in buffer.open:
                    buffer.open.remove(call)
        if error is not None:
            _restore(call, error)
            self.must_flush_after = False
        elif session is None:
            waiting(call)
        elif self._state.session is session and self._has_meaning(session):
            buffer_of(session).add(call)
            self.must_send = is_committing(session) and not self._is_modified(session)

    def _has_meaning(self, session: Session) -> bool:
        """Tell whether the transaction that the call was made in goes on, or the call changed something after it."""
        return self._buffer in buffers_of(session) or self._is_modified(session)

    def _is_modified(self, session: Session) -> bool:
        item = self._state.obj()
        return item is not None and (item in session.deleted or session.is_modified(item))


def _restore(call: Running, error: BaseException) -> None:
    """Put the object back; what goes wrong with that must not hide why the method failed."""
    try:
        call.memory.restore()
    except Exception as failure:  # noqa: BLE001 - it is told with the error that is on its way
        error.add_note(f"@emits({call.type!r}): the object could not be put back: {failure}. Roll the session back.")
