"""What happens beside a write: guards are checked once an engine, and the database is told who writes and why.

Nothing here captures anything: the guard does. One listener sees every statement that SQLAlchemy sends, whether a
flush, a bulk method, Core or ``text()`` made it, in sessions of every kind and outside of any; for what cannot touch
an event-sourced table it costs a look-up. A write without a context, on an engine that was checked, sends nothing more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from weakref import WeakKeyDictionary

import msgspec
from sqlalchemy import Connection, Dialect, Engine, Table, event

from lithair_sqla.context import IDEMPOTENCY_TTL, Context, current_context
from lithair_sqla.errors import CommandError
from lithair_sqla.model.reach import refusing_tables, tables_written, writes_unknown
from lithair_sqla.schema.check import check_functions, check_guards, raise_first
from lithair_sqla.schema.create import names_in
from lithair_sqla.schema.names import Names
from lithair_sqla.schema.tables import LibraryTables

__all__ = ["announce", "context_json", "is_autocommit", "prepare"]

_EMPTY: Final = Context()
_checked: WeakKeyDictionary[Dialect, dict[Names, set[Table]]] = WeakKeyDictionary()


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


_NOTHING_SENT: Final = _Sent()
_sent: WeakKeyDictionary[Connection, _Sent | None] = WeakKeyDictionary()
"""``None`` where it is not known what stands: a savepoint was rolled back."""


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


@event.listens_for(Engine, "before_execute")
def _before_execute(connection: Connection, clauseelement: Any, _: Any, __: Any, ___: Any) -> None:
    tables = tables_written(clauseelement, in_context=current_context() != _EMPTY)
    if tables:
        prepare(connection, tables)
    elif tables is None:
        _before_text(connection, clauseelement.text)


def _before_text(connection: Connection, text: str) -> None:
    """What a text writes to cannot be told; who writes can, and that it is a session of ours."""
    unknown = writes_unknown(text)
    if unknown == "rollback":
        _rollback_savepoint(connection)
    elif unknown == "write":
        by_names = _checked.get(connection.dialect, {})
        refusing = any(refusing_tables(tables) for tables in by_names.values())
        if refusing or current_context() != _EMPTY:
            # A key is taken in the store of this engine; where that is not known, with a later write.
            announce(connection, names=next(iter(by_names), None), refusing=refusing)


def prepare(connection: Connection, tables: Iterable[Table]) -> None:
    """Check the guards of some event-sourced tables, once, and say who is about to write to them.

    Args:
        connection: in the transaction that is about to write, or not yet in one.
        tables: of one metadata.

    Raises:
        SchemaError: a guard, or a function of the library, is missing, disabled or outdated.
        DuplicateCommand: the context's idempotency key was used before.
        CommandError: there is something to say, but the connection is in AUTOCOMMIT.
    """
    tables = tuple(tables)
    names = names_in(connection, LibraryTables.of(tables[0].metadata).config)
    known = _checked.setdefault(connection.dialect, {}).setdefault(names, set())
    if not known.issuperset(tables):
        new = [table for table in tables if table not in known]
        raise_first([*check_functions(connection, names), *check_guards(connection, new, names)])
        known.update(new)
    announce(connection, names=names, refusing=refusing_tables(tables))


def announce(connection: Connection, *, names: Names | None = None, refusing: bool = False) -> None:
    """Send the context in force to the database, once a transaction and again when it changes.

    Args:
        connection: in the transaction that is about to write.
        names: the store written to; without it an idempotency key is left for a later write.
        refusing: a table about to be written refuses writes that nobody announced.

    Raises:
        DuplicateCommand: the context's idempotency key was used before.
        CommandError: there is something to send, but the connection is in AUTOCOMMIT.
    """
    current = current_context()
    if current is _EMPTY and not refusing and connection not in _sent:
        return
    wanted = _Sent(context_json(current), refusing)
    if current.idempotency_key is not None and names is not None:
        wanted = _Sent(
            wanted.context, refusing, current.idempotency_key, str(current.command_id), current.idempotency_ttl
        )
    sent = _sent.get(connection, _NOTHING_SENT)
    if sent is not None and sent.covers(wanted):
        return
    if is_autocommit(connection):
        _refuse_autocommit(wanted)
        return
    calls, parameters = ["set_config('lithair.context', %s, true)"], [wanted.context]
    if refusing:
        calls.append("set_config('lithair.session', pg_current_xact_id()::text, true)")
    if wanted.key is not None and names is not None:
        claim = names.object("claim_command").replace("%", "%%")
        calls.append(f"{claim}({names.config.tenant_id}, %s, %s, make_interval(secs => %s))")
        parameters += [wanted.key, str(wanted.command), wanted.ttl.total_seconds()]  # type: ignore[list-item]
    connection.exec_driver_sql(f"SELECT {', '.join(calls)}", tuple(parameters))
    _sent[connection] = wanted


def _refuse_autocommit(wanted: _Sent) -> None:
    what = "an idempotency key" if wanted.key is not None else "a context" if wanted.context else ""
    if what:
        raise CommandError(
            f"{what} needs a transaction, to which what it says belongs, and this connection is in AUTOCOMMIT: write "
            "in a transaction, or outside of context(); events then have the database's session_user as their actor"
        )
    if wanted.refusing:
        raise CommandError(
            "a table with Persistence(foreign_writes='refuse') is written in transactions only, in which a session can "
            "announce itself: this connection is in AUTOCOMMIT"
        )


@event.listens_for(Engine, "commit")
@event.listens_for(Engine, "rollback")
@event.listens_for(Engine, "commit_twophase")
@event.listens_for(Engine, "rollback_twophase")
@event.listens_for(Engine, "prepare_twophase")
def _transaction_ended(connection: Connection, *_: Any) -> None:
    """Settings of a transaction end with it."""
    _sent.pop(connection, None)


@event.listens_for(Engine, "rollback_savepoint")
def _rollback_savepoint(connection: Connection, *_: Any) -> None:
    """A rolled back savepoint takes back what was set inside it: what stands now is not known here."""
    if connection in _sent:
        _sent[connection] = None
