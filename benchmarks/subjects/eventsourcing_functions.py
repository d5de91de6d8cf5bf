"""pyeventsourcing once more, with its events inserted by a function in the database (POSTGRES_ENABLE_DB_FUNCTIONS)."""

from __future__ import annotations

from sqlalchemy import URL

from benchmarks.subjects.eventsourcing import EventSourcingLog


def open_log(url: URL, *, create: bool, connections: int) -> EventSourcingLog:
    """Make the tables and open the pool."""
    return EventSourcingLog(url, create=create, connections=connections, functions=True)
