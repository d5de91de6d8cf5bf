"""What the application calls a change: named events, notes, and the version it expects to find.

``@emits`` turns the row change made inside a method into that event, with the arguments as its payload; ``record`` adds
an event that changes nothing; ``expect`` states an If-Match. All of a flush's needs go in one call after it.
"""

from __future__ import annotations

import inspect as python_inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast
from uuid import uuid4
from weakref import WeakKeyDictionary

import msgspec
from sqlalchemy import inspect
from sqlalchemy.orm import InstanceState, Session, object_session

from lithair_sqla.errors import CommandError
from lithair_sqla.model.declarative import is_event_sourced
from lithair_sqla.model.pending import Call, Expectation, Note, buffer_of, buffers_of

__all__ = ["emits", "expect", "record", "waiting_calls"]

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")

_waiting: WeakKeyDictionary[InstanceState[Any], list[Call]] = WeakKeyDictionary()
_MAX_TYPE = 200


def emits(type: str) -> Callable[[Callable[Concatenate[S, P], R]], Callable[Concatenate[S, P], R]]:  # noqa: A002
    """Let the change that a method makes to its object be one event of this type.

    The arguments, bound by name, become the event's payload. Changes that were pending on the object before the call
    are flushed first, so that the event has its object's change to itself. A method that raises emits nothing, and the
    object's attributes are put back. An async method works alike.

    Args:
        type: the event's type, such as ``"ProductSold"``; 1 to 200 characters.

    Raises:
        CommandError: it decorates a generator, a property, a static or class method; at the call: an argument that is
            not JSON, or a commit inside the method.
    """
    _check_type(type)

    def decorate(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
        _check_method(method, type)
        signature = python_inspect.signature(method)

        if python_inspect.iscoroutinefunction(method):

            @wraps(method)
            async def call_async(self: S, /, *args: P.args, **keywords: P.kwargs) -> Any:
                with _running(self, type, _payload(signature, type, self, args, keywords)):
                    return await cast("Any", method)(self, *args, **keywords)

            return cast("Callable[Concatenate[S, P], R]", call_async)

        @wraps(method)
        def call(self: S, /, *args: P.args, **keywords: P.kwargs) -> R:
            with _running(self, type, _payload(signature, type, self, args, keywords)):
                return method(self, *args, **keywords)

        return call

    return decorate


def record(item: object, type: str, /, **payload: Any) -> None:  # noqa: A002
    """Append an event that changes no row to an object's stream, with the session's next flush or commit.

    Args:
        item: an object of an event-sourced class, in a session.
        type: the event's type, such as ``"ProductViewed"``.
        payload: JSON values by name.

    Raises:
        CommandError: the object is in no session or its class is not event-sourced, or the payload is not JSON.
    """
    _check_type(type)
    session, state = _in_session(item, "record()")
    buffer_of(session).notes.append(Note(state, type, _json(type, payload)))


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
    buffer.expectations.append(Expectation(state, version, mark=last_position(session, state) if buffer.flushed else 0))


def last_position(session: Session, state: InstanceState[Any]) -> int:
    """Ask for the last position drawn: a mark between what this transaction wrote before and what comes."""
    from lithair_sqla.model.fold import folding  # noqa: PLC0415 - only this rare road needs it
    from lithair_sqla.model.keys import guarded_tables  # noqa: PLC0415

    connection = session.connection(bind_arguments={"mapper": state.mapper})
    names = folding(connection, guarded_tables(state)[0][0]).names
    position: int = connection.exec_driver_sql(f"SELECT last_value FROM {names.object('position')}").scalar_one()
    return position


def waiting_calls(state: InstanceState[Any]) -> list[Call]:
    """Take the calls made on an object before it was in a session."""
    return _waiting.pop(state, [])


@contextmanager
def _running(item: Any, type_: str, payload: dict[str, Any]) -> Iterator[None]:
    """Run a method's body as one call: flush what was pending, restore on error, queue the event."""
    state: InstanceState[Any] = inspect(item)
    if not is_event_sourced(state.class_):
        raise CommandError(f"@emits({type_!r}): {state.class_.__name__} is not event-sourced")
    session = object_session(item)
    call = Call(state, type_, payload)
    if session is None:
        with _restoring(state):
            yield
        _waiting.setdefault(state, []).append(call)
        return
    queued = any(earlier.state is state for buffer in buffers_of(session) for earlier in buffer.calls)
    if queued or (state.persistent and session.is_modified(item)):
        session.flush()
    outer = next((running for found in buffers_of(session) for running in reversed(found.open)), None)
    if outer is not None:
        outer.event_id = outer.event_id or uuid4()
        call.causation_id = outer.event_id
    buffer_of(session).open.append(call)
    try:
        with _restoring(state):
            yield
    finally:
        for found in buffers_of(session):
            if call in found.open:
                found.open.remove(call)
    _queue(session, call, outer)


def _queue(session: Session, call: Call, outer: Call | None) -> None:
    """Leave a call that returned for the next flush, unless an autoflush inside it has named all it changed."""
    if call.named:
        if not session.is_modified(call.state.obj()):
            return
        call = Call(call.state, call.type, {}, causation_id=call.event_id)
    buffer_of(session).calls.append(call)
    if outer is not None and outer.state is call.state:
        session.flush()


@contextmanager
def _restoring(state: InstanceState[Any]) -> Iterator[None]:
    """Put an object's attributes back where the block raises."""
    before = _attributes(state)
    try:
        yield
    except BaseException:
        _restore(state, before)
        raise


def _attributes(state: InstanceState[Any]) -> dict[str, Any]:
    keys = {attribute.key for attribute in state.mapper.attrs}
    return {key: list(value) if isinstance(value, list) else value for key, value in state.dict.items() if key in keys}


def _restore(state: InstanceState[Any], before: dict[str, Any]) -> None:
    """Put loaded attributes back to what they were; one that was not loaded is expired, so that it loads again."""
    item = state.obj()
    if item is None:
        return
    for key, value in _attributes(state).items():
        if key not in before:
            if state.session is not None and state.persistent:
                state.session.expire(item, [key])
            elif key in state.dict:
                delattr(item, key)
        elif before[key] is not value and before[key] != value:
            setattr(item, key, before[key])


def _payload(
    signature: python_inspect.Signature, type_: str, self: Any, args: tuple[Any, ...], keywords: dict[str, Any]
) -> dict[str, Any]:
    bound = signature.bind(self, *args, **keywords)
    bound.apply_defaults()
    arguments = dict(list(bound.arguments.items())[1:])
    for name, parameter in signature.parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD and name in arguments:
            arguments.update(arguments.pop(name))
    return _json(type_, arguments)


def _json(type_: str, payload: dict[str, Any]) -> dict[str, Any]:
    for name, value in payload.items():
        try:
            text = msgspec.json.encode(value, enc_hook=_plain)
        except (TypeError, ValueError, msgspec.MsgspecError) as error:
            raise CommandError(f"{type_}: argument {name!r} cannot stand in an event: {error}") from error
        if b"\\u0000" in text:
            raise CommandError(f"{type_}: argument {name!r} holds a NUL character, which PostgreSQL cannot store")
    return payload


def plain_json(payload: Any) -> bytes:
    """Write a payload as JSON; an object of a mapped class stands as its primary key."""
    return msgspec.json.encode(payload, enc_hook=_plain)


def _plain(value: Any) -> Any:
    state = inspect(value, raiseerr=False)
    if isinstance(state, InstanceState):
        key = list(state.identity or state.mapper.primary_key_from_instance(value))
        return key[0] if len(key) == 1 else key
    raise NotImplementedError(f"{type(value).__name__} is not JSON")


def _check_type(type_: object) -> None:
    if not isinstance(type_, str) or not 0 < len(type_) <= _MAX_TYPE or "\0" in type_:
        raise CommandError(f"an event's type is a name of 1 to {_MAX_TYPE} characters, not {type_!r}")


def _check_method(method: Any, type_: str) -> None:
    wrong = None
    if isinstance(method, property):
        wrong = "a property"
    elif isinstance(method, (staticmethod, classmethod)):
        wrong = "a static or class method"
    elif python_inspect.isgeneratorfunction(method) or python_inspect.isasyncgenfunction(method):
        wrong = "a generator"
    elif not callable(method):
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
    return session, state
