"""What workloads ask of subjects: models to write with, or a log to append to and read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session

__all__ = ["Data", "Log", "Orm", "Reader"]

Data = Mapping[str, Any]
Reader = Callable[[UUID], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Orm:
    """Models with the same columns for everyone, and a way to count the history that was written of them.

    Attributes:
        engine: on the subject's database.
        product: a class of eight columns.
        wide: a class of thirty.
        recorded: counts what stands in the subject's history, on a connection; ``None`` for a subject without one.
        sees_sql: whether SQL that does not come from a session's flush is recorded as well.
        past: opens a reader of products by key as they were at a moment; a subject without history reads the rows as
            they are. ``None`` where the subject has no such query.
    """

    engine: Engine
    product: type[Any]
    wide: type[Any]
    recorded: Callable[[Connection], int] | None
    sees_sql: bool = True
    past: Callable[[Session, datetime], AbstractContextManager[Reader]] | None = None


class Log(Protocol):
    """A log of events, each stream named by a UUID, each event a JSON object."""

    def append(self, stream: UUID, events: Sequence[Data], expected: int | None) -> int:
        """Append to one stream in a transaction of its own, and return the version it is at then.

        Args:
            stream: which.
            events: their data.
            expected: the version that the stream must be at; ``None`` takes any, trying again where the subject
                knows no such append.
        """
        ...

    def append_many(self, streams: Sequence[tuple[UUID, Sequence[Data]]]) -> None:
        """Append to many new streams in one transaction, by the fastest way the subject has."""
        ...

    def read(self, stream: UUID) -> int:
        """Read every event of a stream into the subject's own records, and return how many there are."""
        ...

    def rebuild(self, stream: UUID) -> Data:
        """Return the state that a stream's events make, in the subject's own way."""
        ...

    def snapshot(self, stream: UUID) -> None:
        """Take a snapshot of a stream."""
        ...

    def size_bytes(self) -> dict[str, int]:
        """Return what the log takes on disk: ``events`` (with its indexes) and ``streams``."""
        ...

    def count(self) -> int:
        """Count the events."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...
