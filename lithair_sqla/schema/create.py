"""Make everything the library needs in a database: idempotent, and safe when two processes do it at once.

``create_all(engine, Base)`` is the door for a quickstart and for tests; the same work happens inside
``metadata.create_all()`` through DDL events, and inside migrations through the Alembic plugin.
"""

from __future__ import annotations

from typing import Any, Final
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Dialect, Engine, MetaData, Table, event, text

from lithair_sqla.errors import MappingError, OptionError, SchemaError, UnsupportedDatabaseError
from lithair_sqla.options import StorageConfig
from lithair_sqla.schema.check import check_guards, function_comments
from lithair_sqla.schema.functions import (
    library_functions,
    parts_schema_statement,
    sequence_statement,
)
from lithair_sqla.schema.guards import (
    GUARD_TRIGGER,
    TRUNCATE_TRIGGER,
    guard_of,
    guard_sql,
    qualified,
    shape_of,
    truncate_trigger,
)
from lithair_sqla.schema.names import Names, quote
from lithair_sqla.schema.shapes import record_statement
from lithair_sqla.schema.tables import METADATA_KEY, LibraryTables

__all__ = [
    "create_all",
    "grant",
    "install",
    "install_guard",
    "known_names",
    "library_of",
    "lock",
    "lock_key",
    "names_in",
]

_INSTALLERS_LOCK: Final = (1 << 48) - 2
_MINIMUM_VERSION: Final = (14, 0)

_names: WeakKeyDictionary[Dialect, dict[tuple[StorageConfig, tuple[Any, ...]], Names]] = WeakKeyDictionary()


def library_of(target: Any) -> LibraryTables:
    """Return the library's tables that belong to a ``MetaData``, a declarative base or a mapped class.

    Raises:
        OptionError: it has no metadata.
    """
    metadata = target if isinstance(target, MetaData) else getattr(target, "metadata", None)
    if not isinstance(metadata, MetaData):
        raise OptionError(f"a MetaData or a declarative base is needed, not {target!r}")
    return LibraryTables.of(metadata)


def names_in(connection: Connection, config: StorageConfig, *, refresh: bool = False) -> Names:
    """Return the names of a store's objects in the database that ``connection`` is on.

    Args:
        connection: its ``schema_translate_map`` counts.
        config: the store's.
        refresh: look again, though they were looked up on this engine before.

    Raises:
        UnsupportedDatabaseError: not PostgreSQL 14 or newer through psycopg.
        SchemaError: no schema of the search path exists to hold the objects.
    """
    translated = tuple((connection.get_execution_options().get("schema_translate_map") or {}).items())
    # By dialect, which an engine shares with those that execution_options() makes of it.
    known = _names.setdefault(connection.dialect, {})
    found = known.get((config, translated))
    if found is None or refresh:
        check_database(connection)
        found = known[config, translated] = _look_up(connection, config, translated)
    return found


def known_names(dialect: Dialect) -> tuple[Names, ...]:
    """Return the names that were looked up so far on an engine, told by its dialect."""
    return tuple(_names.get(dialect, {}).values())


def _look_up(
    connection: Connection, config: StorageConfig, translated: tuple[tuple[str | None, str | None], ...]
) -> Names:
    """Look the schemas up: the store's (found too where the search path is empty), the user's, the extension's."""
    default, current, citext = connection.execute(
        text(
            "SELECT coalesce((SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE c.oid = to_regclass(:streams)), current_schema(), (SELECT min(n.nspname) FROM pg_class c "
            "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relname = :streams HAVING count(*) = 1)), "
            "current_schema(), (SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace "
            "WHERE e.extname = 'citext')"
        ),
        {"streams": f"{config.prefix}streams"},
    ).one()
    schema = dict(translated).get(config.schema, config.schema) or default
    if schema is None:
        raise SchemaError("no schema of the search path exists: create one, or name it with StorageConfig(schema=…)")
    users = schema if config.schema is None else (current or schema)
    return Names(schema, config, users, translated, citext)


def check_database(connection: Connection) -> None:
    """Refuse a database or a driver that the library is not made for.

    Raises:
        UnsupportedDatabaseError: says what was found and what is needed.
    """
    dialect = connection.dialect
    if dialect.name != "postgresql" or dialect.driver not in {"psycopg", "psycopg_async"}:
        raise UnsupportedDatabaseError(
            f"lithair_sqla needs PostgreSQL through psycopg, not {dialect.name}+{dialect.driver}: "
            "use a URL that starts with postgresql+psycopg://"
        )
    version = dialect.server_version_info
    if version is not None and version < _MINIMUM_VERSION:
        raise UnsupportedDatabaseError(
            f"lithair_sqla needs PostgreSQL 14 or newer; this server is {'.'.join(map(str, version))}"
        )


def create_all(engine: Engine, target: Any = None, *, config: StorageConfig | None = None) -> None:
    """Make the user's tables, the library's, its functions, partitions and guards: what is missing or outdated.

    Args:
        engine: of PostgreSQL through psycopg; the role needs CREATE on the schema and on the database (for the
            partitions' schema), nothing more.
        target: a declarative base or a ``MetaData``; ``None`` makes the library's own objects alone.
        config: names and bounds; ``None`` takes those that the target has.

    Raises:
        UnsupportedDatabaseError: the wrong database, version or driver.
        MappingError: a table that cannot be event-sourced.
    """
    metadata = MetaData() if target is None else library_of(target).metadata
    library = LibraryTables.of(metadata, config)
    with engine.begin() as connection:
        names = names_in(connection, library.config)
        lock(connection, names)
        if library.config.schema is not None:
            execute(connection, f"CREATE SCHEMA IF NOT EXISTS {names.quoted_schema}")
        metadata.create_all(connection)


def lock(connection: Connection, names: Names) -> None:
    """Take, until the transaction ends, the lock that makes two installers wait for each other."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": lock_key(names)})


def lock_key(names: Names) -> int:
    """Return the key of the advisory lock that installers and migrations of a store take."""
    return names.namespace << 48 | _INSTALLERS_LOCK


def install(connection: Connection, library: LibraryTables) -> None:
    """Make or replace functions, partitions and guards in the caller's transaction; the tables must be there."""
    names = names_in(connection, library.config, refresh=True)
    lock(connection, names)
    current = function_comments(connection, names)
    execute(connection, sequence_statement(names))
    _make_parts_schema(connection, names)
    for function in library_functions(names):
        if current.get(function.name) != function.comment:
            for statement in function.statements:
                execute(connection, statement)
    execute(connection, f"SELECT {names.object('extend_log')}()")
    for table in library.metadata.sorted_tables:
        if guard_of(table) is not None and exists(connection, table, names):
            install_guard(connection, table, names)


def install_guard(connection: Connection, table: Table, names: Names) -> bool:
    """Make or replace one table's guard; answers whether there was anything to do.

    Raises:
        MappingError: another table of this database writes streams of the same name.
    """
    sql = guard_sql(table, names)
    target = qualified(table, names)
    current = not check_guards(connection, [table], names)
    if not current:
        _claim_stream(connection, table, names)
        for statement in sql.statements:
            execute(connection, statement)
    for (leaf,) in connection.execute(text(_BARE_PARTITIONS), {"target": target, "trigger": TRUNCATE_TRIGGER}).all():
        for statement in truncate_trigger(leaf, sql.on_truncate):
            execute(connection, statement)
    return not current


_BARE_PARTITIONS: Final = (
    "SELECT CAST(CAST(l.relid AS regclass) AS text) FROM pg_partition_tree(to_regclass(:target)) l WHERE l.level > 0 "
    "AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = l.relid AND t.tgname = :trigger AND t.tgenabled = 'A')"
)


def _claim_stream(connection: Connection, table: Table, names: Names) -> None:
    """Record the shape of a table's events, and that its streams are the table's."""
    shape = shape_of(table, names.config)
    target = qualified(table, names)
    schemas = names.object("schemas")
    other = connection.execute(
        text(
            f"SELECT s.relation FROM {schemas} s JOIN pg_trigger t ON t.tgrelid = to_regclass(s.relation) "
            "AND t.tgname = :trigger WHERE s.name = :name AND s.relation <> :relation LIMIT 1"
        ),
        {"name": shape.stream, "relation": target, "trigger": GUARD_TRIGGER},
    ).scalar()
    if other is not None:
        raise MappingError(
            f"tables {other} and {target} would both write streams named {shape.stream!r} into one log: give one of "
            "them Persistence(name=…), or each a log of its own with StorageConfig(schema=…) or (prefix=…)"
        )
    execute(connection, record_statement(table, names))


def grant(connection: Connection, target: Any, role: str) -> None:
    """Give an application's role what it needs of the library's objects: SELECT on tables, EXECUTE on functions.

    Nothing here lets it change or delete an event; rights on the user's own tables are the user's affair.
    """
    library = library_of(target)
    names = names_in(connection, library.config)
    grantee = connection.dialect.identifier_preparer.quote_identifier(role)
    schema = connection.dialect.identifier_preparer.quote_identifier(names.schema)
    parts = connection.dialect.identifier_preparer.quote_identifier(names.parts_schema)
    execute(connection, f"GRANT USAGE ON SCHEMA {schema}, {parts} TO {grantee}")
    for table in library.all:
        execute(connection, f"GRANT SELECT ON {qualified(table, names)} TO {grantee}")
    execute(connection, f"GRANT SELECT ON {names.object('position')} TO {grantee}")
    for function in library_functions(names):
        if function.kind == "VIEW":
            execute(connection, f"GRANT SELECT ON {function.signature} TO {grantee}")
        elif function.is_public:
            execute(connection, f"GRANT EXECUTE ON FUNCTION {function.signature} TO {grantee}")


def execute(connection: Connection, statement: str) -> None:
    """Run DDL text as it stands: no bind parameters, so that ``%`` and ``:`` are nothing special."""
    connection.exec_driver_sql(statement.replace("%", "%%"), ())


def exists(connection: Connection, table: Table, names: Names) -> bool:
    """Tell whether a table is in the database."""
    found = connection.execute(text("SELECT to_regclass(:name)"), {"name": qualified(table, names)}).scalar()
    return found is not None


def _make_parts_schema(connection: Connection, names: Names) -> None:
    there = connection.execute(
        text("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = :name)"), {"name": names.parts_schema}
    ).scalar_one()
    if there:
        return
    allowed = connection.exec_driver_sql("SELECT has_database_privilege(current_database(), 'CREATE')").scalar_one()
    if not allowed:
        raise SchemaError(
            f"the role may not create schema {names.parts_schema!r}, which holds the log's partitions: let an "
            f"administrator run CREATE SCHEMA {quote(names.parts_schema)} AUTHORIZATION <role>, or name an existing "
            "schema with StorageConfig(parts_schema=…)"
        )
    execute(connection, parts_schema_statement(names))


@event.listens_for(MetaData, "after_create")
def _after_create(target: MetaData, connection: Connection, **_: Any) -> None:
    library = target.info.get(METADATA_KEY)
    if isinstance(library, LibraryTables) and connection.dialect.name == "postgresql":
        names = names_in(connection, library.config)
        if all(exists(connection, table, names) for table in library.all):
            install(connection, library)


@event.listens_for(MetaData, "before_drop")
def _before_drop(target: MetaData, connection: Connection, **keywords: Any) -> None:
    """Take away what depends on the tables that are about to go."""
    library = target.info.get(METADATA_KEY)
    if not isinstance(library, LibraryTables) or library.events not in keywords.get("tables", ()):
        return
    names = names_in(connection, library.config)
    for function in reversed(library_functions(names)):
        execute(connection, f"DROP {function.kind} IF EXISTS {function.signature} CASCADE")


@event.listens_for(MetaData, "after_drop")
def _after_drop(target: MetaData, connection: Connection, **keywords: Any) -> None:
    library = target.info.get(METADATA_KEY)
    if not isinstance(library, LibraryTables) or library.events not in keywords.get("tables", ()):
        return
    names = names_in(connection, library.config)
    rows = connection.execute(
        text(
            "SELECT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace "
            "WHERE n.nspname = :schema AND (starts_with(p.proname, :guard) OR starts_with(p.proname, :truncate))"
        ),
        {
            "schema": names.schema,
            "guard": f"{names.config.prefix}guard_",
            "truncate": f"{names.config.prefix}truncate_",
        },
    )
    for (name,) in rows.all():
        execute(connection, f"DROP FUNCTION IF EXISTS {names.object(name[len(names.config.prefix) :])}() CASCADE")
    execute(connection, f"DROP SEQUENCE IF EXISTS {names.object('position')}")
