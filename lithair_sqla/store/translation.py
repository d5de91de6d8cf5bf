"""The seam between PostgreSQL's errors and the library's: one SQLSTATE, one class of the tree.

The library's functions and guards raise SQLSTATEs of their own, ``LT…``. A listener on every engine turns those,
wherever they come up (a flush, a bulk statement, ``text()``, a commit), into our errors; the driver's error stays as
their ``__cause__``. It looks at five characters and leaves everything else as SQLAlchemy raises it. The store's own
calls know more: there a missing function, a number out of bounds or a broken connection is ours to explain too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy import Engine, event

from lithair_sqla.errors import (
    ConcurrencyError,
    ConnectionLostError,
    DuplicateCommand,
    GuardError,
    InvalidEventError,
    LithairError,
    OrderedReadError,
    PartitionGapError,
    SchemaError,
    SchemaMissingError,
    StreamNotFoundError,
    WriteRefusedError,
)
from lithair_sqla.schema.create import known_names
from lithair_sqla.schema.names import quote
from lithair_sqla.types import Conflict, StreamId

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import ExceptionContext

    from lithair_sqla.schema.names import Names

__all__ = ["translate", "translate_own"]

_MOST_SHOWN: Final = 5
_MEND: Final = "run `alembic upgrade head`, or lithair_sqla.create_all(engine, Base)"
_MISSING: Final = frozenset({"42P01", "42883", "3F000"})
_SHUTDOWN: Final = frozenset({"57P01", "57P02", "57P03", "08000", "08003", "08006"})
_UNFIT: Final = {
    "22P05": "it holds a character that the database cannot store (NUL, or half of a surrogate pair)",
    "22P02": "it is not what the database takes for JSON",
    "22003": "it holds a number that PostgreSQL's numeric cannot carry",
    "54000": "it is too large for a jsonb value, or its stream's name and key are too long for an index",
    "54001": "it is nested too deeply",
}


def translate(error: BaseException) -> LithairError | None:
    """Return the library's error for one that the library's own functions, guards or partitions raised.

    Args:
        error: as SQLAlchemy raised it, or as psycopg did.

    Returns:
        The error to raise instead, or ``None`` for every error that is not ours.
    """
    original: Any = getattr(error, "orig", error)
    sqlstate = getattr(original, "sqlstate", None)
    if sqlstate is None:
        return None
    if sqlstate == "23514":
        return _partition_gap(original)
    made = _OURS.get(sqlstate)
    return None if made is None else made(original)


def translate_own(error: BaseException, names: Names | None, *, lost: bool) -> LithairError | None:
    """Return the library's error for one that came up in a call of the store's.

    Args:
        error: as SQLAlchemy raised it, or as psycopg did.
        names: of the store's objects, to tell whether a missing one is ours; ``None`` where they are not known yet.
        lost: the connection is gone.
    """
    found = translate(error)
    if found is not None:
        return found
    original: Any = getattr(error, "orig", error)
    sqlstate = getattr(original, "sqlstate", None)
    if lost or sqlstate in _SHUTDOWN:
        return ConnectionLostError(
            "the connection to the database broke before the answer came: the transaction is rolled back, unless it "
            "was its commit that was on the way; give the append an idempotency key and repeat it"
        )
    message = _message(original)
    if sqlstate in _MISSING and names is not None and (names.config.prefix in message or names.schema in message):
        return SchemaMissingError(f"{message}: {_MEND}")
    if sqlstate in _UNFIT:
        return InvalidEventError(f"an event cannot be stored: {_UNFIT[sqlstate]} ({message})")
    return None


def _message(original: Any) -> str:
    return original.diag.message_primary or str(original)


def _detail(original: Any) -> Any:
    return msgspec.json.decode(original.diag.message_detail or "null")


def _conflict(original: Any) -> LithairError:
    conflicts = [
        Conflict(
            stream=StreamId(found["name"], found["key"], found.get("tenant", 0)),
            expected=found["expected"],
            actual=found["actual"],
        )
        for found in _detail(original) or ()
    ]
    shown = "; ".join(map(str, conflicts[:_MOST_SHOWN])) or _message(original)
    if len(conflicts) > _MOST_SHOWN:
        shown += f"; and {len(conflicts) - _MOST_SHOWN} more (see .conflicts)"
    return ConcurrencyError(f"{shown}. Read what is there, decide again, and repeat", conflicts=conflicts)


def _duplicate(original: Any) -> LithairError:
    found = _detail(original) or {}
    positions = found.get("positions") or ()
    where = f"; its events stand at {', '.join(map(str, positions))}" if positions else ""
    return DuplicateCommand(f"{_message(original)}{where}", key=found.get("key", ""), positions=positions)


def _refused(original: Any) -> LithairError:
    hint = original.diag.message_hint
    return WriteRefusedError(f"{_message(original)}. {hint}" if hint else _message(original))


def _unfit_schema(original: Any) -> LithairError:
    return SchemaError(f"{_message(original)}. {original.diag.message_hint}")


def _not_found(original: Any) -> LithairError:
    return StreamNotFoundError(_message(original))


def _not_ordered(original: Any) -> LithairError:
    return OrderedReadError(
        f"{_message(original)}: read it in a transaction of its own, with "
        "engine.connect().execution_options(isolation_level='READ COMMITTED')"
    )


_OURS: Final[dict[str, Callable[[Any], LithairError]]] = {
    "LT210": _unfit_schema,
    "LT301": _conflict,
    "LT302": _duplicate,
    "LT303": _not_found,
    "LT305": _not_ordered,
    "LT400": _refused,
}

_WRITERS: Final = r"\b{}(append|guard_|log_event|capture_delete|reserve)|COPY {}events"


def _partition_gap(original: Any) -> LithairError | None:
    """A check violation is the log's only if it has no constraint, comes from a table ``…events`` and from our code."""
    diagnosis = original.diag
    table = diagnosis.table_name or ""
    if diagnosis.constraint_name is not None or not table.endswith("events"):
        return None
    prefix = table.removesuffix("events")
    if not re.search(_WRITERS.format(re.escape(prefix), re.escape(prefix)), diagnosis.context or ""):
        return None
    function = f"{quote(diagnosis.schema_name or 'public')}.{quote(prefix + 'extend_log')}"
    return PartitionGapError(
        f"the log's next position lies in no partition ({diagnosis.message_detail}), so nothing was written: run "
        f"SELECT {function}() in a transaction of its own, and see that nothing keeps it from running in time"
    )


def _in_guard(original: Any, prefixes: set[str]) -> LithairError | None:
    """An error inside a guard's own text: a value that the log cannot hold, or a guard that no longer fits."""
    lines = (original.diag.context or "").splitlines()
    innermost = next((line for line in lines if line.startswith("PL/pgSQL function ")), "")
    marks = "|".join(map(re.escape, prefixes))
    found = re.match(rf'PL/pgSQL function (?:.*\.)?"?(?:{marks})guard_(.*?)"?\(\) line', innermost)
    if found is None:
        return None
    message, table = _message(original), found[1]
    if original.sqlstate in _UNFIT:
        return InvalidEventError(
            f"a row of {table} was not written, since its event cannot be stored: {_UNFIT[original.sqlstate]} "
            f"({message})"
        )
    if original.sqlstate in _MISSING:
        return SchemaMissingError(f"the guard of table {table} lacks an object of the library's: {message}: {_MEND}")
    return GuardError(
        f"the guard of table {table} no longer fits the table, which has changed under it ({message}): {_MEND}",
        table=table,
        reason="outdated",
    )


_INSIDE: Final = frozenset({*_UNFIT, *_MISSING, "42703", "42804"})


@event.listens_for(Engine, "handle_error", retval=True)
def _handle_error(context: ExceptionContext) -> BaseException | None:
    original = context.original_exception
    sqlstate = getattr(original, "sqlstate", None)
    if sqlstate is None:
        return None
    if sqlstate.startswith("LT") or sqlstate == "23514":
        return translate(original)
    if sqlstate in _INSIDE:
        return _in_guard(original, {"lithair_", *(names.config.prefix for names in known_names(context.dialect))})
    return None
