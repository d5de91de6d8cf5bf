"""The guard: one trigger and one generated function a table, which write an event for every changed row.

The function is plain PL/pgSQL made from the table's columns, so that a table pays only for what it uses; read one with
``print(guard_sql(table, names).function)``. The protocol it follows (lock and bump the stream, advertise, draw) is the
append's, written out for one row. Its trigger sorts before the user's own and fires ALWAYS, replication included.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from sqlalchemy import Table

from lithair_sqla.codec.values import ColumnValue, column_value
from lithair_sqla.errors import MappingError
from lithair_sqla.options import Persistence, StorageConfig
from lithair_sqla.schema.guard_body import GuardShape, guard_body, truncate_body
from lithair_sqla.schema.names import Names, literal, quote

__all__ = ["GUARD_TRIGGER", "INFO_KEY", "TRUNCATE_TRIGGER", "Guard", "GuardSql", "guard_of", "guard_sql", "shape_of"]

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
        function: CREATE OR REPLACE of the trigger's function (and of TRUNCATE's, where it captures).
        statements: everything to run, in order.
        digest: sixteen hexadecimal digits that change when anything about the guard does.
    """

    function: str
    statements: tuple[str, ...]
    digest: str

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
    keys = guard.keys or tuple(column.name for column in table.primary_key.columns)
    if not keys:
        raise MappingError(
            f"table {table.fullname} has no primary key, so its rows have no identity in the log: add one, or leave the "
            "table out"
        )
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
        keys=tuple(columns[key] for key in keys),
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


def _rules(table: Table, guard: Guard) -> tuple[tuple[str, tuple[str, ...]], ...]:
    rules: dict[str, list[str]] = {}
    for column, event in guard.column_events.items():
        rules.setdefault(event, []).append(column)
    for event, columns in (guard.persistence.events or {}).items():
        rules.setdefault(event, []).extend(columns)
    for event, columns in rules.items():
        for column in columns:
            if column not in table.columns:
                raise MappingError(
                    f"{guard.stream}: event {event!r} is named after column {column!r}, which table {table.fullname} "
                    f"does not have (it has {', '.join(table.columns.keys())})"
                )
    return tuple((event, tuple(columns)) for event, columns in rules.items())


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
    head = "RETURNS trigger\nLANGUAGE plpgsql SECURITY DEFINER\nSET search_path = pg_catalog, pg_temp"
    text = names.render(
        f"CREATE OR REPLACE FUNCTION {function}() {head}{settings}\nAS $lithair$\n{guard_body(shape, target)}\n$lithair$"
    )
    functions = [text]
    on_truncate = names.object("refuse_truncate")
    if shape.captures_truncate:
        on_truncate = names.object(_function_name("truncate_", table, names))
        functions.append(
            names.render(
                f"CREATE OR REPLACE FUNCTION {on_truncate}() {head}{settings}\nAS $lithair$\n"
                f"{truncate_body(shape, target)}\n$lithair$"
            )
        )
    triggers = (
        f"CREATE OR REPLACE TRIGGER {quote(GUARD_TRIGGER)} AFTER INSERT OR UPDATE OR DELETE ON {target} "
        f"FOR EACH ROW EXECUTE FUNCTION {function}()",
        f"CREATE OR REPLACE TRIGGER {quote(TRUNCATE_TRIGGER)} BEFORE TRUNCATE ON {target} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {on_truncate}()",
    )
    digest = sha256("\n".join((*functions, *triggers)).encode()).hexdigest()[:16]
    result = GuardSql(function=text, statements=(), digest=digest)
    statements = (
        *functions,
        *triggers,
        *(
            f"ALTER TABLE {target} ENABLE ALWAYS TRIGGER {quote(trigger)}"
            for trigger in (GUARD_TRIGGER, TRUNCATE_TRIGGER)
        ),
        f"COMMENT ON TRIGGER {quote(GUARD_TRIGGER)} ON {target} IS {literal(result.comment)}",
        f"REVOKE ALL ON FUNCTION {function}() FROM PUBLIC",
    )
    return GuardSql(function=text, statements=statements, digest=digest)


def qualified(table: Table, names: Names) -> str:
    """Return a table's quoted name, with the schema it stands in."""
    return f"{quote(table.schema or names.schema)}.{quote(table.name)}"


def _function_name(kind: str, table: Table, names: Names) -> str:
    """Name the function after its table, kept within PostgreSQL's 63 bytes by a hash where it must be."""
    own = table.name if table.schema in {None, names.schema} else f"{table.schema}_{table.name}"
    room = 63 - len(names.config.prefix) - len(kind)
    if len(own.encode()) > room:
        mark = sha256(own.encode()).hexdigest()[:8]
        own = own.encode()[: room - 9].decode(errors="ignore") + "_" + mark
    return kind + own
