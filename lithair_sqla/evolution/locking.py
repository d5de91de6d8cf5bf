"""One migration at a time: two replicas of an application that start together both run ``alembic upgrade head``.

Without a lock both find the database at the old revision and one fails (measured: one run in three). With it the second
waits until the first has committed, and then finds nothing left to do.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, event, text

from lithair_sqla.evolution.libraries import libraries_of
from lithair_sqla.schema.create import lock, lock_key, names_in
from lithair_sqla.schema.names import Names

__all__ = ["lock_migrations"]


def lock_migrations(implementation: Any) -> None:
    """Wait for other migrators of the same store, and make those to come wait.

    Args:
        implementation: Alembic's, at the start of a run.
    """
    options = implementation.context_opts
    connection: Connection | None = implementation.connection
    if implementation.as_sql or connection is None or options.get("dont_mutate"):
        return
    libraries = libraries_of(options.get("target_metadata"))
    stores = {names.namespace: names for names in (names_in(connection, config) for config in libraries)}
    for _, names in sorted(stores.items()):
        if options.get("transaction_per_migration"):
            _lock_session(connection, names)
        else:
            lock(connection, names)


def _lock_session(connection: Connection, names: Names) -> None:
    """Hold the lock over several transactions: until the connection goes back to its pool."""
    key = lock_key(names)
    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": key})
    held = [connection.connection.dbapi_connection]

    def unlock(dbapi_connection: Any, _: Any) -> None:
        if dbapi_connection in held and dbapi_connection is not None:
            held.clear()
            cursor = dbapi_connection.cursor()
            cursor.execute(f"SELECT pg_advisory_unlock({key})")
            cursor.close()
            dbapi_connection.commit()

    event.listen(connection.engine, "checkin", unlock)
