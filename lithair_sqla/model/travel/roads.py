"""Which way to the past: by key where the statement names keys, else whichever of hybrid and fold costs less.

Measured on 100,000 rows: a fold of everything takes 25–40 µs a row; the rows as they stand 0.5 µs, finding what changed
since 0.5 µs an event. So hybrid wins by far where little has changed, and where everything has, it costs what a fold
does and the search beside it: it is taken until that search alone would be a third of a fold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection

from lithair_sqla.model.fold import Folding
from lithair_sqla.model.travel.known import Known
from lithair_sqla.model.travel.moment import Moment
from lithair_sqla.model.travel.narrowing import Narrowing
from lithair_sqla.model.travel.shadows import Road, Way
from lithair_sqla.schema.names import literal

__all__ = ["Surveys", "choose"]

_EVENTS_A_ROW: Final = 20


class Surveys:
    """What one session on the past has found out about its tables."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}
        self._missing: dict[str, str | None] = {}

    def rows(self, connection: Connection, fold: Folding) -> int:
        """Estimate the rows of a table as the planner would; one statement a session and table."""
        if fold.target not in self._rows:
            # A partitioned table's own row of pg_class knows nothing of its partitions' sizes.
            statement = (
                "SELECT coalesce(sum(CASE WHEN c.reltuples > 0 THEN c.reltuples "
                "ELSE pg_relation_size(c.oid) / 100 END), 0)::bigint "
                f"FROM pg_class c WHERE c.oid = to_regclass({literal(fold.target)}) OR c.oid IN ("
                f"SELECT p.relid FROM pg_partition_tree(to_regclass({literal(fold.target)})) p)"
            )
            self._rows[fold.target] = connection.exec_driver_sql(statement.replace("%", "%%"), ()).scalar_one()
        return self._rows[fold.target]

    def streams_missing(self, connection: Connection, fold: Folding) -> str | None:
        """Tell whether rows of a table have no stream, and so no past, which the table's own rows would hide.

        Once every row has one, every row always will, since the guard sees to it: then it is not asked again.
        """
        key = (fold.target, fold.names)
        adopted: Known[set[Any]] = Known.of(connection.dialect, "adopted", 1)
        known = adopted.get(None, set)
        if key in known:
            return None
        if fold.target not in self._missing:
            statement = fold.names.render(
                f"SELECT (SELECT count(*) FROM {fold.target}), (SELECT count(*) FROM lithair.streams s "
                f"WHERE s.tenant_id = {fold.shape.tenant_id} AND s.name = {fold.stream} AND s.status = 0)"
            )
            rows, streams = connection.exec_driver_sql(statement.replace("%", "%%"), ()).one()
            self._missing[fold.target] = None
            if rows == streams:
                known.add(key)
            else:
                self._missing[fold.target] = f"{rows:,} rows have {streams:,} open streams"
        return self._missing[fold.target]


def choose(
    connection: Connection,
    surveys: Surveys,
    fold: Folding,
    moment: Moment,
    narrowing: Narrowing | None,
    values: Mapping[str, Any],
) -> tuple[Road, list[tuple[Any, ...]] | None]:
    """Choose the way for one table.

    Args:
        connection: on its database.
        surveys: the session's.
        fold: of the table.
        moment: asked for.
        narrowing: what the statement's conditions hold its rows to.
        values: of the statement's parameters.

    Returns:
        The road, and for ``key`` and ``keys`` the keys of the rows.
    """
    name = fold.table.fullname
    if not _has_firm_keys(fold):
        return Road(table=name, way=Way.FOLD, reason="how its keys are written depends on settings"), None
    if narrowing is not None and _is_narrow(fold):
        keys = narrowing.keys([key.name for key in fold.shape.keys], values)
        if keys is not None:
            way, named = (Way.KEY, "one key") if len(keys) == 1 else (Way.KEYS, f"{len(keys):,} keys")
            return Road(table=name, way=way, reason=f"the conditions name {named}"), keys
    since = moment.last - moment.low
    streams = surveys.streams_missing(connection, fold)
    if streams is not None:
        return Road(table=name, way=Way.FOLD, reason=f"{streams}: adopt it for a faster way"), None
    rows = surveys.rows(connection, fold)
    reason = f"{since:,} positions since, about {rows:,} rows"
    return Road(table=name, way=Way.FOLD if since > max(rows, 1) * _EVENTS_A_ROW else Way.HYBRID, reason=reason), None


def _has_firm_keys(fold: Folding) -> bool:
    """Tell whether a key is written as the guard wrote it, whatever the session's settings."""
    return all(not key.settings or key.family in {"timestamp", "timestamptz"} for key in fold.shape.keys)


def _is_narrow(fold: Folding) -> bool:
    """Tell whether equal keys have equal streams, and values of the key's type can be sent as an array."""
    return all(
        key.exact and not key.nullable and not column.type._has_bind_expression  # noqa: SLF001 - no public way
        for key, column in zip(fold.shape.keys, fold.key_columns, strict=True)
    )
