"""One call of an ``@emits`` method: flush what was pending, let it run, queue its event or put the object back."""

from __future__ import annotations

from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import inspect
from sqlalchemy.exc import MissingGreenlet
from sqlalchemy.orm import InstanceState, Session
from sqlalchemy.util import greenlet_spawn

from lithair_sqla.errors import CommandError
from lithair_sqla.model.declarative import is_event_sourced
from lithair_sqla.model.payloads import Payload
from lithair_sqla.model.pending import Buffer, Queued, buffer_of, buffers_of, is_queued, mark_for, waiting
from lithair_sqla.model.restoring import Memory

__all__ = ["Run", "RunningCall"]

_running: Final[ContextVar[tuple[Queued, ...]]] = ContextVar("lithair_calls", default=())


class RunningCall(Queued):
    """A call that has not returned, and what its object was before."""

    __slots__ = ("memory",)

    memory: Memory


class Run:
    """The block in which a method's body runs.

    Attributes:
        must_flush: before the block, because changes that are not the call's are pending on its object.
        must_flush_after: after it, because the call around it goes on with the same object.
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
        self._session: Session | None = state.session
        self._token: Token[tuple[Queued, ...]] | None = None
        self._buffer: Buffer | None = None
        self.must_flush = self._session is not None and (
            is_queued(self._session, state)
            or (state.persistent and bool(state.committed_state) and self._session.is_modified(item))
        )
        self.must_flush_after = False

    def flush(self) -> None:
        """Flush the session of the object, from synchronous code.

        Raises:
            CommandError: it cannot be flushed here.
        """
        try:
            self._session_to_flush().flush()
        except MissingGreenlet as error:
            raise CommandError(
                f"@emits({self._type!r}): other changes of the object wait to be flushed, which synchronous code "
                "cannot do to an AsyncSession: await session.flush() before the call, make it inside "
                "session.run_sync(), or make the method async"
            ) from error

    async def flush_async(self) -> None:
        """Flush the session of the object, from a coroutine."""
        session = self._session_to_flush()
        await greenlet_spawn(session.flush)

    def _session_to_flush(self) -> Session:
        assert self._session is not None  # noqa: S101 - only then is there something to flush
        if self._session._flushing:  # noqa: SLF001 - there is no other way to tell
            raise CommandError(
                f"@emits({self._type!r}): other changes of the object wait to be flushed, which cannot be done inside "
                "a flush: call it once there, or before"
            )
        return self._session

    def __enter__(self) -> None:
        """Open the call."""
        call = RunningCall(self._state, self._type, self._payload)
        call.memory = Memory(self._state, self._session)
        outer = _running.get()
        if outer:
            outer[-1].event_id = outer[-1].event_id or uuid4()
            call.causation_id = outer[-1].event_id
            self.must_flush_after = outer[-1].state is self._state and self._session is not None
        self._call = call
        self._token = _running.set((*outer, call))
        if self._session is not None:
            call.mark = mark_for(self._session, self._state)
            self._buffer = buffer_of(self._session)
            self._buffer.open.append(call)

    def __exit__(
        self, class_: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the call: queue its event, or put the object back."""
        assert self._token is not None  # noqa: S101 - set on entering
        _running.reset(self._token)
        call, session = self._call, self._session
        if session is not None:
            for buffer in buffers_of(session):
                if call in buffer.open:
                    buffer.open.remove(call)
        if error is not None:
            call.memory.restore()
            self.must_flush_after = False
        elif session is None:
            waiting(call)
        elif self._state.session is session and self._has_meaning(session):
            send_at_once = buffer_of(session).committing
            buffer_of(session).add(call)
            self.must_flush_after = self.must_flush_after or send_at_once

    def _has_meaning(self, session: Session) -> bool:
        """Tell whether the transaction that the call was made in goes on, or the call changed something after it."""
        return self._buffer in buffers_of(session) or session.is_modified(self._state.obj() or self._state)
