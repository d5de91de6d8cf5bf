"""The guard: one trigger and one generated function a table, which write an event for every changed row.

The function is plain PL/pgSQL made from the table's columns, so that a table pays only for what it uses; read one with
``print(guard_sql(table, names).function)``. The protocol it follows (lock and bump the stream, advertise, draw) is the
append's, written out for one row. Its trigger sorts before the user's own and fires ALWAYS, replication included.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import Column, Table
from sqlalchemy.types import NullType

from lithair_sqla.codec.values import ColumnValue, column_value
from lithair_sqla.errors import MappingError
from lithair_sqla.options import Persistence, StorageConfig
from lithair_sqla.schema.guard_body import GuardShape, guard_body, truncate_body
from lithair_sqla.schema.names import Names, literal, quote

__all__ = [
    "GUARD_TRIGGER",
    "INFO_KEY",
    "TRUNCATE_TRIGGER",
    "Guard",
    "GuardSql",
    "guard_of",
    "guard_sql",
    "key_columns",
    "qualified",
    "shape_of",
    "truncate_trigger",
]

INFO_KEY: Final = "lithair.guard"
"""Where a ``Table`` keeps the ``Guard`` that it is declared to have: ``table.info[INFO_KEY]``."""

GUARD_TRIGGER: Final = "!lithair_guard"
TRUNCATE_TRIGGER: Final = "!lithair_truncate"
COMMENT_PREFIX: Final = "lithair guard "


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """What a table's declaration asks of its guard.

    Attributes:
        stream: name of the table's streams.
        persistence: the class-level options.
        column_events: event type by column, from ``persistence(event=…)``.
        schema_version: shape of the events it writes.
        keys: columns that identify a row where the table declares no primary key (an association table's).
    """

    stream: str
    persistence: Persistence
    column_events: Mapping[str, str] = field(default_factory=dict)
    schema_version: int = 1
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GuardSql:
    """The statements that make one table's guard, and the hash that marks it.

    Attributes:
        name: the quoted name of the trigger's function.
        function: CREATE OR REPLACE of it.
        source: the function's text, as the database keeps it.
        statements: everything to run, in order.
        digest: sixteen hexadecimal digits that change when anything about the guard does.
        on_truncate: the quoted name of the function that answers TRUNCATE.
    """

    name: str
    function: str
    source: str
    statements: tuple[str, ...]
    digest: str
    on_truncate: str

    @property
    def comment(self) -> str:
        """The trigger's comment."""
        return COMMENT_PREFIX + self.digest


def guard_of(table: Table) -> Guard | None:
    """Return the guard that a table is declared to have, if any."""
    found = table.info.get(INFO_KEY)
    return found if isinstance(found, Guard) else None


def shape_of(table: Table, config: StorageConfig) -> GuardShape:
    """Gather what the guard's text is made of.

    Raises:
        MappingError: the table has no primary key.
        ColumnTypeError: a column's type cannot be carried.
    """
    guard = guard_of(table)
    if guard is None:
        raise MappingError(f"table {table.fullname} is not declared event-sourced")
    keys = key_columns(table, guard)
    columns: dict[str, ColumnValue] = {}
    hidden: list[str] = []
    for column in table.columns:
        value = column_value(column, owner=guard.stream)
        if value is None:
            hidden.append(column.name)
        else:
            columns[column.name] = value
    persistence = guard.persistence
    frequency = persistence.snapshot_frequency
    keep = persistence.max_snapshots_per_aggregate
    return GuardShape(
        stream=guard.stream,
        columns=tuple(columns.values()),
        hidden=tuple(hidden),
        keys=tuple(columns[key.name] for key in keys),
        created=persistence.created_event or f"{guard.stream}Created",
        updated=persistence.updated_event or f"{guard.stream}Updated",
        deleted=persistence.deleted_event or f"{guard.stream}Deleted",
        rules=_rules(table, guard),
        schema_version=guard.schema_version,
        snapshot_frequency=config.snapshot_frequency if frequency is None else frequency,
        snapshots_kept=config.max_snapshots_per_aggregate if keep is None else keep,
        refuses_foreign_writes=persistence.foreign_writes == "refuse",
        captures_truncate=persistence.truncate == "capture",
        tenant_id=config.tenant_id,
        node_id=config.node_id,
    )


def key_columns(table: Table, guard: Guard) -> list[Column[Any]]:
    """Return the columns that identify a row.

    Raises:
        MappingError: there is none, or one that cannot be looked up from inside the guard.
    """
    found = list(table.primary_key.columns) or [column for column in table.columns if column.name in guard.keys]
    if not found:
        raise MappingError(
            f"table {table.fullname} has no primary key, so its rows have no identity in the log: add one, or leave "
            "the table out"
        )
    for column in found:
        if isinstance(column.type, NullType) and column.foreign_keys:
            continue  # its type is its target's to give, which may not be there yet
        value = column_value(column, owner=guard.stream)
        if value is None or not value.fit_for_key:
            raise MappingError(
                f"{guard.stream}.{column.name} is part of the key, which must be of a type of PostgreSQL's own (or "
                f"citext, and not JSON), not {column.type!r}: its rows could not be looked up safely inside the guard"
            )
    return found


def _rules(table: Table, guard: Guard) -> tuple[tuple[str, tuple[str, ...]], ...]:
    rules: dict[str, list[str]] = {}
    for column, event in guard.column_events.items():
        rules.setdefault(event, []).append(column)
    for event, columns in (guard.persistence.events or {}).items():
        rules.setdefault(event, []).extend(columns)
    names = [column.name for column in table.columns]
    for event, columns in rules.items():
        for column in columns:
            if column not in names:
                raise MappingError(
                    f"{guard.stream}: event {event!r} is named after column {column!r}, which table {table.fullname} "
                    f"does not have (it has {', '.join(names)})"
                )
    # The last that fits names the event: the narrowest, and of two that are equally narrow the later one.
    narrowing = sorted(rules.items(), key=lambda rule: -len(set(rule[1])))
    return tuple((event, tuple(columns)) for event, columns in narrowing)


def guard_sql(table: Table, names: Names) -> GuardSql:
    """Write the SQL that makes (or replaces) a table's guard.

    Args:
        table: an event-sourced table.
        names: how the library's objects are called in this database.
    """
    shape = shape_of(table, names.config)
    target = qualified(table, names)
    function = names.object(_function_name("guard_", table, names))
    settings = "".join(
        f"\nSET {quote(name)} = {literal(value)}"
        for name, value in sorted({setting for column in shape.columns for setting in column.settings})
    )
    head = f"RETURNS trigger\nLANGUAGE plpgsql SECURITY DEFINER\nSET search_path = pg_catalog, pg_temp{settings}"
    source = names.render(f"\n{guard_body(shape, target)}\n")
    text = _create_function(function, head, source)
    functions = [text]
    on_truncate = names.object("refuse_truncate")
    if shape.captures_truncate:
        on_truncate = names.object(_function_name("truncate_", table, names))
        functions.append(_create_function(on_truncate, head, names.render(f"\n{truncate_body(shape, target)}\n")))
        functions.append(f"REVOKE ALL ON FUNCTION {on_truncate}() FROM PUBLIC")
    triggers = (_row_trigger(target, function), *truncate_trigger(target, on_truncate))
    digest = sha256("\n".join((*functions, *triggers)).encode()).hexdigest()[:16]
    statements = (
        *functions,
        *triggers,
        f"ALTER TABLE {target} ENABLE ALWAYS TRIGGER {quote(GUARD_TRIGGER)}",
        f"COMMENT ON TRIGGER {quote(GUARD_TRIGGER)} ON {target} IS {literal(COMMENT_PREFIX + digest)}",
        f"REVOKE ALL ON FUNCTION {function}() FROM PUBLIC",
    )
    return GuardSql(function, text, source, statements, digest, on_truncate)


def _row_trigger(target: str, function: str) -> str:
    """The trigger is told the number that the table's next column will have: once it is there, the guard is too old."""
    create = literal(
        f"CREATE OR REPLACE TRIGGER {quote(GUARD_TRIGGER)} AFTER INSERT OR UPDATE OR DELETE ON {target} "
        f"FOR EACH ROW EXECUTE FUNCTION {function}"
    )
    upcoming = f"SELECT max(a.attnum) + 1 FROM pg_attribute a WHERE a.attrelid = {literal(target)}::regclass"
    return "DO " + literal(f"BEGIN EXECUTE {create} || format('(%s)', ({upcoming})); END")


def truncate_trigger(target: str, function: str) -> tuple[str, str]:
    """Write the statements that make the trigger which answers TRUNCATE of a table, or of one of its partitions."""
    return (
        (
            f"CREATE OR REPLACE TRIGGER {quote(TRUNCATE_TRIGGER)} BEFORE TRUNCATE ON {target} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {function}()"
        ),
        f"ALTER TABLE {target} ENABLE ALWAYS TRIGGER {quote(TRUNCATE_TRIGGER)}",
    )


def _create_function(function: str, head: str, source: str) -> str:
    tag = "$lithair$"
    while tag in source:  # a user's identifier may hold anything
        tag = f"{tag[:-1]}_$"
    return f"CREATE OR REPLACE FUNCTION {function}() {head}\nAS {tag}{source}{tag}"


def qualified(table: Table, names: Names) -> str:
    """Return a table's quoted name, with the schema it stands in."""
    schema = names.schema if table.info.get("lithair.library") else names.schema_of(table.schema)
    return f"{quote(schema)}.{quote(table.name)}"


def _function_name(kind: str, table: Table, names: Names) -> str:
    """Name the function after its table; a hash keeps apart what a schema or PostgreSQL's 63 bytes would make one."""
    room = 63 - len(names.config.prefix) - len(kind)
    own = table.name
    if names.schema_of(table.schema) != names.schema or len(own.encode()) > room:
        mark = sha256(qualified(table, names).encode()).hexdigest()[:8]
        own = own.encode()[: room - 9].decode(errors="ignore") + "_" + mark
    return kind + own
