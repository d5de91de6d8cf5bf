"""What the application calls a change: named events, notes, and the version it expects to find.

``@emits`` turns the row change made inside a method into that event, with the arguments as its payload; ``record`` adds
an event that changes nothing; ``expect`` states an If-Match. All of a flush's needs go in one call after it.
"""

from __future__ import annotations

import inspect as python_inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from sqlalchemy import inspect
from sqlalchemy.orm import InstanceState, Session, object_session

from lithair_sqla.errors import CommandError
from lithair_sqla.model.after_flush import listen_again, send_if_committing
from lithair_sqla.model.calls import Run
from lithair_sqla.model.declarative import is_event_sourced
from lithair_sqla.model.payloads import Arguments, Payload, check_type
from lithair_sqla.model.pending import Expectation, Queued, buffer_of, mark_for

__all__ = ["emits", "expect", "record"]

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")


def emits(type: str) -> Callable[[Callable[Concatenate[S, P], R]], Callable[Concatenate[S, P], R]]:  # noqa: A002
    """Let the change that a method makes to its object be one event of this type.

    The arguments, bound by name, become the event's payload. Changes that were pending on the object before the call
    are flushed first, so that the event has its object's change to itself. A method that raises emits nothing, and the
    object's attributes are put back. One that changes nothing emits a note. An async method works alike.

    Args:
        type: the event's type, such as ``"ProductSold"``; 1 to 200 characters.

    Raises:
        CommandError: it decorates a generator, a property, a static or class method; at the call: an argument that is
            not JSON, a detached object, or a commit inside the method.
    """
    check_type(type)

    def decorate(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
        _check_method(method, type)
        arguments = Arguments(method)

        if python_inspect.iscoroutinefunction(method):

            @wraps(method)
            async def call_async(self: S, /, *args: P.args, **keywords: P.kwargs) -> Any:
                run = Run(self, type, Payload(type, arguments.bind((self, *args), keywords)))
                await run.before_async()
                with run:
                    result = await cast("Any", method)(self, *args, **keywords)
                await run.after_async()
                return result

            return cast("Callable[Concatenate[S, P], R]", call_async)

        @wraps(method)
        def call(self: S, /, *args: P.args, **keywords: P.kwargs) -> R:
            run = Run(self, type, Payload(type, arguments.bind((self, *args), keywords)))
            run.before()
            with run:
                result = method(self, *args, **keywords)
            run.after()
            return result

        return call

    return decorate


def record(item: object, type: str, /, **payload: Any) -> None:  # noqa: A002
    """Append an event that changes no row to an object's stream, with the session's next flush that writes or commit.

    Args:
        item: an object of an event-sourced class, in a session.
        type: the event's type, such as ``"ProductViewed"``.
        payload: JSON values by name.

    Raises:
        CommandError: the object is in no session or its class is not event-sourced, or the payload is not JSON.
        StreamNotFoundError: raised by the flush or commit, where the object's row was there before its guard and has
            no stream yet.
    """
    check_type(type)
    session, state = _in_session(item, "record()")
    buffer_of(session).add(Queued(state, type, Payload(type, payload), is_note=True))
    send_if_committing(session)


def expect(session: Session, item: object, *, version: int) -> None:
    """Let the session's next change to an object succeed only if its stream is at a version: an If-Match.

    Checked by the call after the flush, when row and stream are locked; at the commit where nothing is flushed. With
    joined inheritance the version is that of the base table's stream.

    Args:
        session: the object's.
        item: an object of an event-sourced class.
        version: the version it was read at, 1 or more; 0 for an object that must be new.

    Raises:
        CommandError: the object is in another session or its class is not event-sourced.
        ConcurrencyError: raised by the flush or commit, when the stream is elsewhere; everything is rolled back.
    """
    own, state = _in_session(item, "expect()")
    if own is not session:
        raise CommandError(f"expect(): {item!r} belongs to another session")
    if type(version) is not int or version < 0:
        raise CommandError(f"expect(version=…) must be an integer from 0, not {version!r}")
    buffer = buffer_of(session, outermost=True)
    buffer.expectations.append(Expectation(state, version, mark_for(session, state)))
    send_if_committing(session)


def _check_method(method: Any, type_: str) -> None:
    wrong = None
    if isinstance(method, property):
        wrong = "a property"
    elif isinstance(method, (staticmethod, classmethod)):
        wrong = "a static or class method"
    elif python_inspect.isgeneratorfunction(method) or python_inspect.isasyncgenfunction(method):
        wrong = "a generator"
    elif isinstance(method, type) or not callable(method):
        wrong = f"{method!r}"
    if wrong is not None:
        raise CommandError(f"@emits({type_!r}) names the change that a method makes: it cannot decorate {wrong}")


def _in_session(item: object, what: str) -> tuple[Session, InstanceState[Any]]:
    state = inspect(item, raiseerr=False)
    if not isinstance(state, InstanceState) or not is_event_sourced(state.class_):
        raise CommandError(f"{what}: {item!r} is not an object of an event-sourced class")
    session = object_session(item)
    if session is None:
        raise CommandError(f"{what}: {item!r} is in no session: add it to one first")
    listen_again(session)
    return session, state
