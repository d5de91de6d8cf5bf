"""What the database has been told of who writes and why: once, when it matters, and taken back with what it was for.

In a transaction that is a setting local to it. Python follows what stands: savepoints remember what was said when they
began, so that a rollback to one needs no second telling. In AUTOCOMMIT, where nothing is local, the setting is the
session's; it is taken back when SQLAlchemy's own transaction ends or, at the latest, when the pool gets the connection.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from weakref import WeakKeyDictionary

import msgspec
from sqlalchemy import Connection, Engine, Pool, event
from sqlalchemy.sql.elements import SavepointClause

from lithair_sqla.context import IDEMPOTENCY_TTL, Context, current_context
from lithair_sqla.errors import CommandError
from lithair_sqla.schema.names import Names

__all__ = ["NO_CONTEXT", "announce", "context_json", "forget_savepoints", "is_autocommit"]

NO_CONTEXT: Final = Context()
_RESET: Final = "SELECT set_config('lithair.context', '', false), set_config('lithair.session', '', false)"
_TOLD: Final = "lithair.told"
"""Marks a DBAPI connection (in its pool record's ``info``) whose session has been told something."""


@dataclass(frozen=True, slots=True)
class _Sent:
    """What a transaction has been told."""

    context: str = ""
    refusing: bool = False
    key: str | None = None
    command: str | None = None
    ttl: timedelta = IDEMPOTENCY_TTL

    def covers(self, wanted: _Sent) -> bool:
        return (
            self.context == wanted.context
            and self.refusing >= wanted.refusing
            and (wanted.key is None or (wanted.key, wanted.command) == (self.key, self.command))
        )


_NOTHING: Final = _Sent()
_sent: WeakKeyDictionary[Connection, _Sent | None] = WeakKeyDictionary()
"""``None`` where it is not known what stands: a savepoint was rolled back by a text."""
_savepoints: WeakKeyDictionary[Connection, dict[str, _Sent | None]] = WeakKeyDictionary()
"""What stood when each savepoint began; one that is not there began when nothing did."""


def context_json(context: Context) -> str:
    """Write a context as the guard reads it; an empty string for an empty one."""
    found: dict[str, Any] = {}
    if context.user_id is not None:
        found["actor"] = context.user_id
    if context.correlation_id is not None:
        found["correlation_id"] = context.correlation_id
    if context.causation_id is not None:
        found["causation_id"] = context.causation_id
    if context.meta:
        found["meta"] = dict(context.meta)
    return msgspec.json.encode(found).decode() if found else ""


def is_autocommit(connection: Connection) -> bool:
    """Tell whether each statement on a connection is a transaction of its own."""
    return bool(getattr(connection.connection.driver_connection, "autocommit", False))


def announce(connection: Connection, *, names: Names | None = None, refusing: bool = False) -> None:
    """Send the context in force to the database, once a transaction and again when it changes.

    Args:
        connection: in the transaction that is about to write.
        names: the store written to; without it an idempotency key is left for a later write.
        refusing: a table about to be written refuses writes that nobody announced.

    Raises:
        DuplicateCommand: the context's idempotency key was used before.
        CommandError: there is an idempotency key, but the connection is in AUTOCOMMIT.
    """
    current = current_context()
    if current is NO_CONTEXT and not refusing and connection not in _sent:
        return
    wanted = _Sent(context_json(current), refusing)
    if current.idempotency_key is not None and names is not None:
        wanted = _Sent(
            wanted.context, refusing, current.idempotency_key, str(current.command_id), current.idempotency_ttl
        )
    sent = _sent.get(connection, _NOTHING)
    if sent is not None and sent.covers(wanted):
        return
    statement, parameters = _telling(wanted, names, autocommit=is_autocommit(connection))
    if is_autocommit(connection):
        connection.info[_TOLD] = True
    connection.exec_driver_sql(statement, parameters)
    _sent[connection] = wanted


def _telling(wanted: _Sent, names: Names | None, *, autocommit: bool) -> tuple[str, tuple[Any, ...]]:
    calls, parameters = [f"set_config('lithair.context', %s, {str(not autocommit).lower()})"], [wanted.context]
    if wanted.refusing:
        mark = "'autocommit', false" if autocommit else "pg_current_xact_id()::text, true"
        calls.append(f"set_config('lithair.session', {mark})")
    if wanted.key is not None and names is not None:
        if autocommit:
            raise CommandError(
                "an idempotency key needs a transaction, to which it belongs with what it is for, and this connection "
                "is in AUTOCOMMIT: write in a transaction, or without the key"
            )
        claim = names.object("claim_command").replace("%", "%%")
        calls.append(f"{claim}({names.config.tenant_id}, %s, %s, make_interval(secs => %s))")
        parameters += [wanted.key, str(wanted.command), wanted.ttl.total_seconds()]  # type: ignore[list-item]
    return f"SELECT {', '.join(calls)}", tuple(parameters)


@event.listens_for(Engine, "commit")
@event.listens_for(Engine, "rollback")
@event.listens_for(Engine, "commit_twophase")
@event.listens_for(Engine, "rollback_twophase")
@event.listens_for(Engine, "prepare_twophase")
def _transaction_ended(connection: Connection, *_: Any) -> None:
    """Settings of a transaction end with it; those of a session are taken back."""
    _savepoints.pop(connection, None)
    if _sent.pop(connection, _NOTHING) is not _NOTHING and not connection.invalidated:
        _take_back(connection.connection.dbapi_connection, connection.info)


@event.listens_for(Pool, "reset")
def _given_back(dbapi_connection: Any, record: Any, state: Any) -> None:
    """A connection whose user vanished in the middle must not tell the next one's writes."""
    if record is not None and _TOLD in record.info and not state.terminate_only:
        _take_back(dbapi_connection, record.info)


def _take_back(dbapi_connection: Any, info: dict[Any, Any]) -> None:
    if info.pop(_TOLD, False) and not getattr(dbapi_connection, "closed", False):
        cursor = dbapi_connection.cursor()
        try:
            cursor.execute(_RESET)
        finally:
            cursor.close()


@event.listens_for(Engine, "before_execute")
def _before_execute(connection: Connection, clauseelement: Any, *_: Any) -> None:
    """Remember what stands when a savepoint begins; the event for that does not know its name."""
    if isinstance(clauseelement, SavepointClause) and connection in _sent:
        _savepoints.setdefault(connection, {})[clauseelement.ident] = _sent[connection]


@event.listens_for(Engine, "rollback_savepoint")
def _rollback_savepoint(connection: Connection, name: str, *_: Any) -> None:
    """What stands again is what stood when the savepoint began."""
    if connection not in _sent:
        return
    stood = _savepoints.get(connection, {})
    if name in stood:
        _sent[connection] = stood[name]
    else:
        del _sent[connection]


def forget_savepoints(connection: Connection) -> None:
    """A text has rolled back to a savepoint: what stands is not known any more."""
    if connection in _sent:
        _sent[connection] = None
        _savepoints[connection] = dict.fromkeys(_savepoints.get(connection, {}))
