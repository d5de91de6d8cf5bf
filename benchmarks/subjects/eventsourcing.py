"""pyeventsourcing: an ``Application`` on its postgres module, with its JSON transcoder and its pool.

It is used at two levels, each the fastest it documents for the purpose: events are put to and read from the
application's event store; objects are rebuilt by its repository. Its package is imported by name: it stands in the
benchmark's environment only.

Events go in puts of 250 at most: it sends them through psycopg's pipeline mode, which was seen to hang for ever (the
server waits for the rest of the message, the client for an answer) with 2,000 events of 256 bytes in one put always,
with 1,000 now and then. With ``functions=True`` there is no pipeline, and everything goes in one put.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import URL

from benchmarks.dsn import conninfo
from benchmarks.subjects.interfaces import Data

_application = import_module("eventsourcing.application")
_domain = import_module("eventsourcing.domain")
_persistence = import_module("eventsourcing.persistence")
_utils = import_module("eventsourcing.utils")

MOST_A_PUT = 250


class Order(_domain.Aggregate):  # type: ignore[misc,name-defined]
    """An object whose events carry JSON objects that are merged into its state, as ours are."""

    @_domain.event("Created")  # type: ignore[untyped-decorator]
    def __init__(self, data: Data) -> None:
        self.state = dict(data)

    @_domain.event("Changed")  # type: ignore[untyped-decorator]
    def change(self, data: Data) -> None:
        """Merge what changed."""
        self.state.update(data)


class EventSourcingLog:
    """The application, seen as a log."""

    def __init__(self, url: URL, *, create: bool, connections: int, functions: bool = False) -> None:
        self._conninfo = conninfo(url)
        self._most_a_put = sys.maxsize if functions else MOST_A_PUT
        place = conninfo_to_dict(self._conninfo)
        self._application: Any = _application.Application(
            env={
                "PERSISTENCE_MODULE": "eventsourcing.postgres",
                "POSTGRES_DBNAME": str(place["dbname"]),
                "POSTGRES_HOST": str(place.get("host", "127.0.0.1")),
                "POSTGRES_PORT": str(place.get("port", 5432)),
                "POSTGRES_USER": str(place.get("user", "")),
                "POSTGRES_PASSWORD": str(place.get("password", "none")),
                "POSTGRES_POOL_SIZE": str(connections),
                "POSTGRES_MAX_OVERFLOW": "0",
                "POSTGRES_ENABLE_DB_FUNCTIONS": "yes" if functions else "no",
                "IS_SNAPSHOTTING_ENABLED": "yes",
                "CREATE_TABLE": "yes" if create else "no",
            }
        )
        self._store: Any = self._application.events
        self._topic = _utils.get_topic(Order)
        self._now = _domain.datetime_now_with_tzinfo

    def append(self, stream: UUID, events: Sequence[Data], expected: int | None) -> int:
        """Put events at the version expected; where none is, at the one that is read first, until nobody was faster."""
        while True:
            version = self._version(stream) if expected is None else expected
            try:
                self._put(self._events(stream, version, events))
            except _persistence.IntegrityError:
                if expected is not None:
                    raise
            else:
                return version + len(events)

    def append_many(self, streams: Sequence[tuple[UUID, Sequence[Data]]]) -> None:
        """Put all events in as few calls as can be."""
        self._put([event for stream, events in streams for event in self._events(stream, 0, events)])

    def read(self, stream: UUID) -> int:
        """Read the domain events."""
        return len(list(self._store.get(stream)))

    def rebuild(self, stream: UUID) -> Data:
        """Get the aggregate from the repository: newest snapshot and what came after."""
        state: Data = self._application.repository.get(stream).state
        return state

    def snapshot(self, stream: UUID) -> None:
        """Take a snapshot."""
        self._application.take_snapshot(stream)

    def size_bytes(self) -> dict[str, int]:
        """Return what its table of events takes; there is none of streams."""
        return {"events": self._ask("SELECT pg_total_relation_size('application_events')"), "streams": 0}

    def count(self) -> int:
        """Count the events."""
        return self._ask("SELECT count(*) FROM application_events")

    def close(self) -> None:
        """Close the pool."""
        self._application.close()

    def _put(self, events: list[Any]) -> None:
        for start in range(0, len(events), self._most_a_put):
            self._store.put(events[start : start + self._most_a_put])

    def _ask(self, statement: LiteralString) -> int:
        with psycopg.connect(self._conninfo) as connection:
            found = connection.execute(statement).fetchone()
        return int(found[0]) if found else 0

    def _version(self, stream: UUID) -> int:
        found = self._application.recorder.select_events(stream, desc=True, limit=1)
        return found[0].originator_version if found else 0

    def _events(self, stream: UUID, version: int, events: Sequence[Data]) -> list[Any]:
        made: list[Any] = []
        for data in events:
            version += 1
            common = {
                "originator_id": stream,
                "originator_version": version,
                "timestamp": self._now(),
                "data": data,
            }
            if version == 1:
                made.append(Order.Created(originator_topic=self._topic, **common))
            else:
                made.append(Order.Changed(**common))
        return made


def open_log(url: URL, *, create: bool, connections: int) -> EventSourcingLog:
    """Make the tables and open the pool."""
    return EventSourcingLog(url, create=create, connections=connections)
