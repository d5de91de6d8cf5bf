"""Events by way of a connection: append, read in order, snapshots, bulk ingest; no ORM."""

from __future__ import annotations

from lithair_sqla.store.aio import AsyncEventStore
from lithair_sqla.store.append import MAX_APPEND_BYTES
from lithair_sqla.store.encoding import MAX_EVENT_BYTES
from lithair_sqla.store.event_store import EventStore
from lithair_sqla.store.folding import StreamState, fold
from lithair_sqla.store.ingest import IngestSummary
from lithair_sqla.store.sequence import check_sequence

__all__ = [
    "MAX_APPEND_BYTES",
    "MAX_EVENT_BYTES",
    "AsyncEventStore",
    "EventStore",
    "IngestSummary",
    "StreamState",
    "check_sequence",
    "fold",
]
