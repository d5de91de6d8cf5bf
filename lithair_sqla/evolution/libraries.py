"""Which stores an Alembic environment's metadata speak of, and which event-sourced tables belong to each."""

from __future__ import annotations

from typing import Any

from sqlalchemy import MetaData, Table
from sqlalchemy.orm import configure_mappers

from lithair_sqla.options import StorageConfig
from lithair_sqla.schema.guards import guard_of
from lithair_sqla.schema.tables import METADATA_KEY, LibraryTables

__all__ = ["event_sourced_tables", "libraries_of"]


def libraries_of(target: Any) -> dict[StorageConfig, list[LibraryTables]]:
    """Return the library's tables in some metadata, by the store that they are.

    Args:
        target: what env.py gave as ``target_metadata``: a ``MetaData``, a sequence of them, or nothing.
    """
    found: dict[StorageConfig, list[LibraryTables]] = {}
    for metadata in target if isinstance(target, (list, tuple)) else [target]:
        library = metadata.info.get(METADATA_KEY) if isinstance(metadata, MetaData) else None
        if isinstance(library, LibraryTables):
            found.setdefault(library.config, []).append(library)
    return found


def event_sourced_tables(libraries: list[LibraryTables]) -> list[Table]:
    """Return the event-sourced tables of one store's metadata, association tables among them."""
    configure_mappers()  # relationships tell which tables are association tables
    return [table for library in libraries for table in library.metadata.sorted_tables if guard_of(table) is not None]
