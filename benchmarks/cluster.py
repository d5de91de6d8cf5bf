"""The server that everyone works on: found or started by ``lithair_sqla.embedded``, with settings that are stated.

It is a durable one: fsync, full-page writes and synchronous commit are on, as they are where data matters. The other
settings give every subject the same room and keep the server's own rhythm out of short measurements: no checkpoint but
the one that DROP DATABASE makes between two cases, and enough connections for a thousand writers. Autovacuum is on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from lithair_sqla import embedded
from lithair_sqla.embedded import PostgresServer

__all__ = ["DSN_VARIABLE", "SETTINGS", "describe", "server"]

DSN_VARIABLE = "LITHAIR_BENCH_DSN"
"""Names a server to use instead, whose settings are its own; its user must be allowed to create databases."""

SETTINGS: dict[str, embedded.SettingValue] = {
    "shared_buffers": "512MB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "1h",
    "max_connections": 1_200,
}

_STATED = (
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_sync_method",
    "wal_level",
    "shared_buffers",
    "max_wal_size",
    "checkpoint_timeout",
    "max_connections",
    "autovacuum",
    "jit",
    "work_mem",
)


@contextmanager
def server() -> Iterator[PostgresServer]:
    """Find or start the server."""
    with embedded.postgres(durable=True, settings=SETTINGS, dsn_variable=DSN_VARIABLE) as running:
        yield running


def describe(running: PostgresServer) -> dict[str, str]:
    """Say which server it is and how it is set."""
    with psycopg.connect(running.conninfo) as connection:
        version = connection.execute("SHOW server_version").fetchone()
        rows = connection.execute(
            "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY(%s)", [list(_STATED)]
        ).fetchall()
    settings: dict[str, str] = dict(rows)
    return {
        "version": version[0] if version else "unknown",
        "source": running.source,
        **{name: settings[name] for name in _STATED if name in settings},
    }
