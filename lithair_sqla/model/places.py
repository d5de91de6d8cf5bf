"""Where a function is to work: an engine, a connection or a session, whichever the caller has at hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, Table
from sqlalchemy.orm import Session

__all__ = ["Place", "connected", "engine_of"]

Place = Engine | Connection | Session
"""An engine, or a connection or session of the caller's."""


@contextmanager
def connected(where: Place) -> Iterator[Connection]:
    """Give a connection: the caller's, in the caller's transaction; of an engine, one of its own."""
    if isinstance(where, Session):
        yield where.connection()
    elif isinstance(where, Connection):
        yield where
    else:
        with where.connect() as connection:
            yield connection


def engine_of(where: Place, table: Table) -> Engine:
    """Return the engine for work that has transactions of its own; of a session with several binds, the table's."""
    if isinstance(where, Session):
        return where.get_bind(clause=table).engine
    return where.engine
