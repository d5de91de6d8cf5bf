"""Event sourcing for the SQLAlchemy models you already have, on the PostgreSQL you already run.

Add ``EventSourced`` to a model: every change of its rows, by whatever route, becomes an event in the same transaction,
and any row, query or moment can be rebuilt from the log. ``examples/quickstart.py`` shows it in twenty lines.
"""

from __future__ import annotations

from lithair_sqla.context import context
from lithair_sqla.errors import ConcurrencyError, LithairError
from lithair_sqla.model import after_flush, encryption, hooks
from lithair_sqla.model.adopt import adopt
from lithair_sqla.model.audit import audit
from lithair_sqla.model.commands import emits, expect, record
from lithair_sqla.model.declarative import EventSourced
from lithair_sqla.model.enrol import enrol
from lithair_sqla.model.history import history
from lithair_sqla.model.rebuild import rebuild
from lithair_sqla.model.travel import as_of, before
from lithair_sqla.options import Persistence, StorageConfig, persistence
from lithair_sqla.query import finders
from lithair_sqla.runtime import Lithair
from lithair_sqla.schema.create import create_all
from lithair_sqla.store import AsyncEventStore, EventStore
from lithair_sqla.types import Event, ExpectedVersion, NewEvent, StreamId

_LISTENING = (after_flush, encryption, finders, hooks)
"""Imported for their listeners: sessions become ours, encrypted columns sealed, finders generated."""

__all__ = [
    "AsyncEventStore",
    "ConcurrencyError",
    "Event",
    "EventSourced",
    "EventStore",
    "ExpectedVersion",
    "Lithair",
    "LithairError",
    "NewEvent",
    "Persistence",
    "StorageConfig",
    "StreamId",
    "adopt",
    "as_of",
    "audit",
    "before",
    "context",
    "create_all",
    "emits",
    "enrol",
    "expect",
    "history",
    "persistence",
    "rebuild",
    "record",
]
