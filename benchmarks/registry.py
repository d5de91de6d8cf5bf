"""Who takes part and what is measured, by name.

A workload's module is imported when it is needed, and a subject's only in the process that works for it: so what one
peer hooks into SQLAlchemy never runs in another's process.
"""

from __future__ import annotations

from importlib import import_module

from benchmarks.workload import Workload

__all__ = ["SUBJECTS", "WORKLOADS", "workload"]

SUBJECTS: dict[str, str] = {
    "plain": "SQLAlchemy without any history: what everything else is compared with",
    "ours": "lithair_sqla, as create_all makes it",
    "ours_autocommit": "lithair_sqla, single appends on AUTOCOMMIT connections",
    "continuum": "SQLAlchemy-Continuum: versions written by the session, strategy “validity” (its default)",
    "postgresql_audit": "postgresql-audit: statement-level triggers (its default), no actor set",
    "eventsourcing": "pyeventsourcing with its postgres module, JSON transcoder, one connection pool",
    "eventsourcing_functions": "the same with POSTGRES_ENABLE_DB_FUNCTIONS, which its docs name as the faster way",
    "raw": "psycopg alone, on tables of the same shape: the limit of this machine",
}
"""Subject → what it is."""

WORKLOADS: tuple[str, ...] = (
    "limits",
    "flush_insert",
    "flush_update",
    "single_object",
    "bulk_append",
    "read_stream",
    "rebuild_object",
    "snapshot_tail",
    "event_size",
    "writers",
    "hot_stream",
    "hot_row",
    "sql_update",
    "past_key",
    "rebuild_table",
    "audit_table",
    "horizon",
    "counts",
    "memory",
    "growth",
)
"""Every workload's module, in the order in which they run."""


def workload(name: str) -> type[Workload]:
    """Return a workload's class.

    Raises:
        KeyError: there is no workload of that name.
    """
    if name not in WORKLOADS:
        raise KeyError(f"no workload is called {name!r}; there are {', '.join(WORKLOADS)}")
    found: type[Workload] = import_module(f"benchmarks.workloads.{name}").WORKLOAD
    return found
