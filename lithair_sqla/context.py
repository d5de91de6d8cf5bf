"""Who and why: what only the application knows of a write, carried to its events.

A context is a frozen record in a ``ContextVar``: it follows threads started by ``asyncio``, nests, and is restored
on leaving. It counts where a write is flushed, not where an attribute is set: flush or commit inside the block. The
hooks send it to the database once a transaction; without one, nothing is sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from math import isfinite
from typing import Any, Final
from uuid import UUID, uuid4

import msgspec

from lithair_sqla.errors import OptionError

__all__ = ["IDEMPOTENCY_TTL", "Context", "context", "current_context"]

IDEMPOTENCY_TTL: Final = timedelta(days=7)
"""How long an idempotency key is remembered where nothing else is said."""

_MAX_CHARACTERS: Final = 1000
# An escape of its own, not one whose backslash is escaped itself.
_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """Who writes and why.

    Attributes:
        user_id: recorded as the events' actor; without it that is the database's ``session_user``.
        correlation_id: what the writes belong to, a request or a workflow.
        causation_id: the event or command that caused them.
        idempotency_key: names the command, so that it takes effect once.
        idempotency_ttl: how long that is remembered.
        command_id: tells the flushes of one block with an idempotency key from those of another; made by ``context``.
        meta: JSON object stored with each event.
    """

    user_id: str | None = None
    correlation_id: UUID | None = None
    causation_id: UUID | None = None
    idempotency_key: str | None = None
    idempotency_ttl: timedelta = IDEMPOTENCY_TTL
    command_id: UUID | None = None
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
    idempotency_ttl: timedelta = IDEMPOTENCY_TTL,
    meta: Mapping[str, Any] | None = None,
) -> Iterator[Context]:
    """Say who writes and why for every event-sourced write inside the block.

    Nested blocks inherit what they do not name; ``meta`` is merged key by key. An idempotency key is not inherited:
    it names one command, whose second use raises ``DuplicateCommand``.

    Args:
        user_id: the actor; stored as text, at most 1,000 characters.
        correlation_id: a UUID or its text.
        causation_id: a UUID or its text.
        idempotency_key: at most 1,000 characters; taken with the block's first write.
        idempotency_ttl: how long a second use of the key is refused.
        meta: a JSON object stored with each event.

    Yields:
        The context now in force.

    Raises:
        OptionError: a value that is not of its type, empty, too long, or that PostgreSQL's ``jsonb`` cannot hold.
    """
    outer = _current.get()
    inner = Context(
        user_id=outer.user_id if user_id is None else _actor(user_id),
        correlation_id=outer.correlation_id if correlation_id is None else _uuid("correlation_id", correlation_id),
        causation_id=outer.causation_id if causation_id is None else _uuid("causation_id", causation_id),
        idempotency_key=None if idempotency_key is None else _text("idempotency_key", idempotency_key),
        idempotency_ttl=_ttl(idempotency_ttl),
        command_id=None if idempotency_key is None else uuid4(),
        meta=outer.meta if meta is None else {**(outer.meta or {}), **_meta(meta)},
    )
    token = _current.set(inner)
    try:
        yield inner
    finally:
        _current.reset(token)


def _actor(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, UUID)):
        raise OptionError(f"context(user_id=…) must be a string, a number or a UUID, not {value!r}")
    return _text("user_id", str(value))


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_CHARACTERS or not _storable(value):
        shown = repr(value[:40] if isinstance(value, str) else value)
        raise OptionError(
            f"context({name}=…) must be 1 to {_MAX_CHARACTERS} characters, without NUL or half of a surrogate pair, "
            f"not {shown}"
        )
    return value


def _storable(value: str) -> bool:
    try:
        return b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False


def _uuid(name: str, value: UUID | str) -> UUID:
    if isinstance(value, UUID):
        return value
    try:
        return UUID(value)
    except (ValueError, AttributeError, TypeError) as error:
        raise OptionError(f"context({name}=…) must be a UUID or its text, not {value!r}") from error


def _ttl(value: object) -> timedelta:
    if not isinstance(value, timedelta) or not value > timedelta():
        raise OptionError(f"context(idempotency_ttl=…) must be a timedelta above zero, not {value!r}")
    return value


def _meta(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """Check a ``meta`` and return what it looks like as JSON, so that a later change of the object is not seen."""
    try:
        plain = msgspec.to_builtins(dict(value), builtin_types=(float,), str_keys=False)
        text = msgspec.json.encode(plain)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise OptionError(f"context(meta=…) must be a JSON object: {error}") from error
    if not all(isinstance(key, str) for key in plain):
        raise OptionError("context(meta=…) must be a JSON object: its keys must be strings")
    if b"null" in text and not _finite(plain):
        raise OptionError("context(meta=…) must not hold NaN or an infinity, which are no numbers in JSON")
    if b"\\u0000" in text and _NUL.search(text):
        raise OptionError("context(meta=…) must not hold NUL characters, which PostgreSQL's jsonb cannot store")
    found: Mapping[str, Any] = plain
    return found


def _finite(value: Any) -> bool:
    match value:
        case float():
            return isfinite(value)
        case dict():
            return all(map(_finite, value.values()))
        case list() | tuple():
            return all(map(_finite, value))
        case _:
            return True
