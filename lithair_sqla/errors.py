"""Every error the library raises, in one tree with stable codes.

::

    LithairError                         LTH000
     ├── OptionError                     LTH100   an option is unknown, contradictory or out of bounds
     │    ├── NotSupportedYet            LTH101   an option that is designed but not built
     │    └── ExpressionError            LTH102   a ``computed_from`` that is not of its small language
     ├── MappingError                    LTH110   a class that cannot be event-sourced as it stands
     │    └── ColumnTypeError            LTH111   a column whose values would not survive the log
     ├── UnsupportedDatabaseError        LTH200   not PostgreSQL, too old, or not through psycopg
     ├── SchemaError                     LTH210   the library's tables or functions are not as they should be
     │    ├── SchemaMissingError         LTH211   … not there
     │    ├── SchemaVersionError         LTH212   … of another version
     │    ├── GuardError                 LTH213   a table's guard is missing, disabled or outdated
     │    ├── PartitionGapError          LTH214   no partition of the log holds the next position
     │    └── ShapeError                 LTH215   a class's columns and its version do not say the same
     ├── StoreError                      LTH300   an append or a read could not be done
     │    ├── ConcurrencyError           LTH301   a stream is not at the expected version
     │    ├── DuplicateCommand           LTH302   an idempotency key was used before
     │    ├── StreamNotFoundError        LTH303   no such stream
     │    ├── InvalidEventError          LTH304   a payload that cannot be stored
     │    ├── OrderedReadError           LTH305   order is not readable from this transaction
     │    └── ConnectionLostError        LTH306   the connection broke before the answer came
     ├── WriteRefusedError               LTH400   the guard refused a statement
     ├── CommandError                    LTH410   an ``@emits`` method, ``record`` or ``expect`` used wrongly
     ├── ReplayError                     LTH500   events that cannot be folded back into rows
     │    └── UpcastError                LTH501   an event whose shape cannot be brought to today's
     ├── MomentError                     LTH510   a moment that names no state
     ├── PastSessionError                LTH520   something a session on the past cannot do
     ├── QueryError                      LTH530   a builder was asked for what is not there
     ├── EmbeddedPostgresError           LTH600   no PostgreSQL could be found or started
     └── EncryptionError                 LTH700   keys that are missing or cannot be used
          ├── UnknownKeyError            LTH701   a value is sealed with a key that the ring has not
          ├── SealedValueError           LTH702   a sealed value is damaged, moved or of an unknown form
          └── SealedQueryError           LTH703   a query asks of ciphertext what only plain values can answer

A message says what happened, to which class, column, stream or position, and what to do next. Errors of the
database that the library translates keep the original as ``__cause__``; all others (a serialization failure, a
deadlock, a constraint of the user's own) pass through as SQLAlchemy raises them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from sqlalchemy.orm.exc import StaleDataError

__all__ = [
    "ColumnTypeError",
    "CommandError",
    "ConcurrencyError",
    "ConnectionLostError",
    "DuplicateCommand",
    "EmbeddedPostgresError",
    "EncryptionError",
    "ExpressionError",
    "GuardError",
    "InvalidEventError",
    "LithairError",
    "MappingError",
    "MomentError",
    "NotSupportedYet",
    "OptionError",
    "OrderedReadError",
    "PartitionGapError",
    "PastSessionError",
    "QueryError",
    "ReplayError",
    "SchemaError",
    "SchemaMissingError",
    "SchemaVersionError",
    "SealedQueryError",
    "SealedValueError",
    "ShapeError",
    "StoreError",
    "StreamNotFoundError",
    "UnknownKeyError",
    "UnsupportedDatabaseError",
    "UpcastError",
    "WriteRefusedError",
]


class LithairError(Exception):
    """Base of every error of the library; ``code`` is stable and documented in docs/reference/errors.md."""

    code: ClassVar[str] = "LTH000"

    def __str__(self) -> str:
        """Show the message with its code, so that a log line can be looked up."""
        # Not super(): SQLAlchemy's errors would add a link to a page of theirs about our code.
        return f"[{self.code}] {Exception.__str__(self)}"

    def __reduce__(self) -> tuple[Any, ...]:
        """Be pickled with its facts: process pools and task queues carry errors from one process to another."""
        return _remade, (type(self), self.args, {**self.__dict__})


def _remade(class_: type[LithairError], args: tuple[Any, ...], facts: dict[str, Any]) -> LithairError:
    """Make a pickled error again, whatever keywords its constructor asks for."""
    error = class_.__new__(class_, *args)
    error.args = args
    error.__dict__.update(facts)
    return error


class OptionError(LithairError, ValueError):
    """An option is unknown, contradictory, out of bounds or in the wrong place."""

    code = "LTH100"


class NotSupportedYet(OptionError):  # noqa: N818 - reads as the sentence it is
    """An option that belongs to the design but is not built: it is refused, never ignored."""

    code = "LTH101"


class ExpressionError(OptionError):
    """A ``computed_from`` that is not of its small language, or does not fit its column."""

    code = "LTH102"


class MappingError(LithairError, TypeError):
    """A class or table that cannot be event-sourced as it is written."""

    code = "LTH110"


class ColumnTypeError(MappingError):
    """A column whose values would not come back from the log as they went in."""

    code = "LTH111"


class UnsupportedDatabaseError(LithairError):
    """The database is not PostgreSQL 14 or newer, or is not reached through psycopg."""

    code = "LTH200"


class SchemaError(LithairError):
    """The library's objects in the database are not as this version of the library needs them."""

    code = "LTH210"


class SchemaMissingError(SchemaError):
    """Tables or functions of the library are not there."""

    code = "LTH211"


class SchemaVersionError(SchemaError):
    """Tables or functions of the library are there, but of another version."""

    code = "LTH212"


class GuardError(SchemaError):
    """An event-sourced table whose guard is missing, disabled or outdated.

    Attributes:
        table: the table's name, as a person would write it in SQL.
        reason: ``"missing"``, ``"disabled"`` or ``"outdated"``.
    """

    code = "LTH213"

    def __init__(self, message: str, *, table: str, reason: str) -> None:
        super().__init__(message)
        self.table = table
        self.reason = reason


class PartitionGapError(SchemaError):
    """The next position lies in no partition of the log: nothing can be written until one is made."""

    code = "LTH214"


class ShapeError(SchemaError):
    """The columns of an event-sourced class have changed in a way that its version does not say, or the reverse."""

    code = "LTH215"


class StoreError(LithairError):
    """An append or a read could not be done."""

    code = "LTH300"


class ConcurrencyError(StoreError, StaleDataError):  # pyright: ignore[reportIncompatibleVariableOverride]
    """One or more streams are not at the version that the writer expected.

    It is also a ``StaleDataError``, which retry decorators written for the ORM know.

    Attributes:
        conflicts: every stream in conflict, each a ``Conflict`` (stream, expected, actual).
    """

    code = "LTH301"  # type: ignore[misc]  # of an instance in SQLAlchemy, of the class in ours

    def __init__(self, message: str, *, conflicts: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.conflicts = tuple(conflicts)


class DuplicateCommand(StoreError):  # noqa: N818 - the field's word
    """A command whose idempotency key was used before.

    Attributes:
        key: the idempotency key.
        positions: positions of the events that the first use wrote.
    """

    code = "LTH302"

    def __init__(self, message: str, *, key: str, positions: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.key = key
        self.positions = tuple(positions)


class StreamNotFoundError(StoreError, LookupError):
    """No stream of that name and key, or none that ever held a row."""

    code = "LTH303"


class InvalidEventError(StoreError, ValueError):
    """An event that cannot be stored: not JSON, too large, a NUL character, an empty type."""

    code = "LTH304"


class OrderedReadError(StoreError):
    """Reading the log in order needs READ COMMITTED on the primary."""

    code = "LTH305"


class ConnectionLostError(StoreError):
    """The connection broke in mid-append: the transaction is gone unless its commit had been acknowledged."""

    code = "LTH306"


class WriteRefusedError(LithairError):
    """The guard refused a statement on an event-sourced table."""

    code = "LTH400"


class CommandError(LithairError):
    """An ``@emits`` method, ``record()`` or ``expect()`` was used in a way that has no meaning."""

    code = "LTH410"


class ReplayError(LithairError):
    """Events that cannot be folded back into a row of today's table."""

    code = "LTH500"


class UpcastError(ReplayError):
    """An event of a shape that cannot be brought to today's: an upcaster is missing, or the code is older than it."""

    code = "LTH501"


class MomentError(LithairError, ValueError):
    """A moment that names no state: in the future, a naive datetime, or of the wrong type."""

    code = "LTH510"


class PastSessionError(LithairError):
    """Something that a session on the past cannot do: write, lock, run text, read a table without events."""

    code = "LTH520"


class QueryError(LithairError, ValueError):
    """A query or projection names a field, a span or a value that has no meaning there; suggests the nearest."""

    code = "LTH530"


class EmbeddedPostgresError(LithairError):
    """No PostgreSQL could be found or started; the message lists what was tried."""

    code = "LTH600"


class EncryptionError(LithairError):
    """Keys are missing or cannot be used; no message ever shows one."""

    code = "LTH700"


class UnknownKeyError(EncryptionError, LookupError):
    """A value is sealed with a key that the ring has not."""

    code = "LTH701"


class SealedValueError(EncryptionError, ValueError):
    """A sealed value is damaged, cut off, was moved from another column, or is of an unknown form."""

    code = "LTH702"


class SealedQueryError(EncryptionError, TypeError):
    """A query asks of ciphertext what only plain values can answer: an order, a pattern, a group."""

    code = "LTH703"
