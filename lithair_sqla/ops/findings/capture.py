"""Does every change still reach the log? Functions, guards, recorded shapes."""

from __future__ import annotations

from collections.abc import Iterator

from lithair_sqla.ops.findings.looking import MAKE, Looking
from lithair_sqla.ops.presence import RELATION_NAME
from lithair_sqla.ops.records import MaintenanceRecommendation
from lithair_sqla.schema.check import check_functions
from lithair_sqla.schema.guards import GUARD_TRIGGER

__all__ = ["functions_current", "guards_standing", "shapes_recorded"]


def functions_current(looking: Looking) -> Iterator[MaintenanceRecommendation]:
    """The library's functions are those of this version."""
    for problem in check_functions(looking.connection, looking.names):
        yield MaintenanceRecommendation(
            code=f"function-{problem.reason}",
            severity="error",
            message=str(problem.error.args[0]),
            action=MAKE,
        )


def guards_standing(looking: Looking) -> Iterator[MaintenanceRecommendation]:
    """Every table that ever wrote events has its guard, switched on."""
    rows = looking.rows(
        "SELECT DISTINCT s.relation, t.tgenabled::text FROM lithair.schemas s "
        "JOIN (SELECT c.oid, " + RELATION_NAME + " AS name FROM pg_class c JOIN pg_namespace n "
        "ON n.oid = c.relnamespace) r ON r.name = s.relation "
        "LEFT JOIN pg_trigger t ON t.tgrelid = r.oid AND t.tgname = :guard "
        "WHERE s.relation IS NOT NULL AND t.tgenabled IS DISTINCT FROM 'A'",
        guard=GUARD_TRIGGER,
    )
    for relation, enabled in rows:
        state = "missing" if enabled is None else "switched off"
        quoted = f'ALTER TABLE {relation} ENABLE ALWAYS TRIGGER "{GUARD_TRIGGER}"'
        yield MaintenanceRecommendation(
            code="guard-missing" if enabled is None else "guard-disabled",
            severity="error",
            message=f"table {relation} writes past the log: its guard is {state}",
            action=MAKE if enabled is None else quoted,
        )


def shapes_recorded(looking: Looking) -> Iterator[MaintenanceRecommendation]:
    """Every guarded table has the columns that its guard was made for."""
    rows = looking.rows(
        "SELECT s.name, s.relation, array_agg(a.attname::text ORDER BY a.attnum) FROM (SELECT DISTINCT ON (name) * "
        "FROM lithair.schemas WHERE relation IS NOT NULL ORDER BY name, schema_version DESC) s "
        "JOIN (SELECT c.oid, " + RELATION_NAME + " AS name FROM pg_class c JOIN pg_namespace n "
        "ON n.oid = c.relnamespace) r ON r.name = s.relation "
        "JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped "
        "AND a.attgenerated <> 'v' WHERE NOT EXISTS (SELECT FROM jsonb_array_elements(s.columns) c "
        "WHERE c.value->>'name' = a.attname) GROUP BY s.name, s.relation"
    )
    for name, relation, columns in rows:
        yield MaintenanceRecommendation(
            code="shape-unrecorded",
            severity="warning",
            message=f"table {relation} has columns that the guard of {name} does not know: {', '.join(columns)}",
            action=f"add them to the model, then {MAKE}",
        )
