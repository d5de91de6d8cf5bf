"""Is there a store at all where somebody looks for one?"""

from __future__ import annotations

from sqlalchemy import Connection, text

from lithair_sqla.errors import SchemaMissingError
from lithair_sqla.options import StorageConfig
from lithair_sqla.schema.create import names_in
from lithair_sqla.schema.names import Names

__all__ = ["LEAVES", "RELATION_NAME", "found_config", "store_names"]

RELATION_NAME = """'"' || replace(n.nspname, '"', '""') || '"."' || replace(c.relname, '"', '""') || '"'"""
"""The name of relation ``c`` in namespace ``n``, quoted as recorded shapes have it.

Compared with a recorded name rather than looked up by it: ``to_regclass`` asks for rights on the schema, which a role
that only looks into the log need not have.
"""


def store_names(connection: Connection, config: StorageConfig) -> Names:
    """Return the names of a store's objects, having made sure that it is there.

    Args:
        connection: on its database.
        config: which store.

    Raises:
        SchemaMissingError: the database has no such store.
        UnsupportedDatabaseError: not PostgreSQL 14 or newer through psycopg.
    """
    names = names_in(connection, config)
    database, there = connection.execute(
        text("SELECT current_database(), to_regclass(:streams) IS NOT NULL"), {"streams": names.object("streams")}
    ).one()
    if not there:
        raise SchemaMissingError(
            f"database {database!r} has no event store in schema {names.schema!r} under the prefix "
            f"{config.prefix!r}: it may stand elsewhere (StorageConfig(schema=…, prefix=…)), or is still to be made by "
            "lithair_sqla.create_all(engine, Base) or your migrations"
        )
    return names


_BOUNDS = r"FROM \(''?(\d+)''?\) TO \(''?(\d+)''?\)"
LEAVES = f"""\
SELECT n.nspname AS schema, c.relname AS name, c.oid AS oid, CAST(b.bounds[1] AS bigint) AS low,
    CAST(b.bounds[2] AS bigint) AS high
  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 CROSS JOIN LATERAL (SELECT regexp_match(pg_get_expr(c.relpartbound, c.oid), '{_BOUNDS}') AS bounds) b
 WHERE i.inhparent = to_regclass(CAST(%(events)s AS text))"""
"""The log's partitions (schema, name, oid, low, high), by their bounds in the catalog; ``events`` names the log."""


def found_config(connection: Connection, config: StorageConfig) -> StorageConfig:
    """Return a store's configuration with what its objects in the database were made with.

    For whoever knows schema and prefix alone, such as a command line without the application's code.

    Args:
        connection: on its database.
        config: schema and prefix.

    Raises:
        SchemaMissingError: the database has no such store.
    """
    names = store_names(connection, config)
    leaf = connection.exec_driver_sql(
        f"{LEAVES} ORDER BY low LIMIT 1", {"events": names.object("events")}
    ).one_or_none()
    if leaf is not None:
        config = config.replace(partition_width=leaf.high - leaf.low)
        if leaf.schema != names.parts_schema:
            config = config.replace(parts_schema=leaf.schema)
    ahead = connection.execute(
        text(r"SELECT substring(pg_get_function_arguments(to_regproc(:name)) FROM 'DEFAULT (\d+)')"),
        {"name": names.object("extend_log")},
    ).scalar_one()
    return config if ahead is None else config.replace(partitions_ahead=int(ahead))
