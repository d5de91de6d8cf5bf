"""Who and why: what only the application knows of a write, carried to its events.

A context is a frozen record in a ``ContextVar``: it follows threads started by ``asyncio``, nests, and is restored
on leaving. The session's hooks send it to the database once a transaction; without one, nothing is sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from uuid import UUID

import msgspec

from lithair_sqla.errors import OptionError

__all__ = ["Context", "context", "current_context"]


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """Who writes and why.

    Attributes:
        user_id: recorded as the events' actor; without it that is the database's ``session_user``.
        correlation_id: what the writes belong to, a request or a workflow.
        causation_id: the event or command that caused them.
        idempotency_key: names the command, so that it takes effect once.
        meta: JSON object stored with each event.
    """

    user_id: str | None = None
    correlation_id: UUID | None = None
    causation_id: UUID | None = None
    idempotency_key: str | None = None
    meta: Mapping[str, Any] | None = None


_EMPTY = Context()
_current: ContextVar[Context] = ContextVar("lithair_context", default=_EMPTY)


def current_context() -> Context:
    """Return the context in force; an empty one where none was entered."""
    return _current.get()


@contextmanager
def context(
    *,
    user_id: str | int | UUID | None = None,
    correlation_id: UUID | str | None = None,
    causation_id: UUID | str | None = None,
    idempotency_key: str | None = None,
    meta: Mapping[str, Any] | None = None,
) -> Iterator[Context]:
    """Say who writes and why for every event-sourced write inside the block.

    Nested blocks inherit what they do not name; ``meta`` is merged key by key. An idempotency key is not inherited:
    it names one command.

    Args:
        user_id: the actor; stored as text, at most 1,000 characters.
        correlation_id: a UUID or its text.
        causation_id: a UUID or its text.
        idempotency_key: at most 1,000 characters.
        meta: a JSON object stored with each event.

    Yields:
        The context now in force.

    Raises:
        OptionError: a value that is not of its type, empty, too long or holds a NUL character.
    """
    outer = _current.get()
    inner = Context(
        user_id=outer.user_id if user_id is None else _text("user_id", str(user_id)),
        correlation_id=outer.correlation_id if correlation_id is None else _uuid("correlation_id", correlation_id),
        causation_id=outer.causation_id if causation_id is None else _uuid("causation_id", causation_id),
        idempotency_key=None if idempotency_key is None else _text("idempotency_key", idempotency_key),
        meta=outer.meta if meta is None else {**(outer.meta or {}), **_meta(meta)},
    )
    token = _current.set(inner)
    try:
        yield inner
    finally:
        _current.reset(token)


_MAX_CHARACTERS = 1000


def _text(name: str, value: str) -> str:
    if not value or len(value) > _MAX_CHARACTERS or "\0" in value:
        raise OptionError(
            f"context({name}=…) must be 1 to {_MAX_CHARACTERS} characters without NUL, not {value[:40]!r}"
        )
    return value


def _uuid(name: str, value: UUID | str) -> UUID:
    if isinstance(value, UUID):
        return value
    try:
        return UUID(value)
    except (ValueError, AttributeError, TypeError) as error:
        raise OptionError(f"context({name}=…) must be a UUID or its text, not {value!r}") from error


def _meta(value: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        text = msgspec.json.encode(dict(value))
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        raise OptionError(f"context(meta=…) must be a JSON object: {error}") from error
    if b"\\u0000" in text:
        raise OptionError("context(meta=…) must not hold NUL characters, which PostgreSQL's jsonb cannot store")
    return value
