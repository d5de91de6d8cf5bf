"""What every condition is looked for with: a connection, the store's names, and from when on it counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, text

from lithair_sqla.ops.presence import LEAVES
from lithair_sqla.ops.records import MaintenanceRecommendation
from lithair_sqla.schema.names import Names

__all__ = ["MAKE", "Finding", "Looking"]

MAKE: Final = "lithair_sqla.create_all(engine, Base)"
"""Makes what is missing or outdated; a migration that ``alembic revision --autogenerate`` writes does the same."""


@dataclass(frozen=True, slots=True)
class Looking:
    """Where a condition is looked for, and from when on it counts.

    Attributes:
        connection: SELECT on the library's tables is enough.
        names: how the library's objects are called.
        horizon_seconds: a transaction that holds readers back for longer is worth a word.
        snapshot_bytes: a snapshot larger than that is.
    """

    connection: Connection
    names: Names
    horizon_seconds: float = 30.0
    snapshot_bytes: int = 1_000_000

    def rows(self, statement: str, **parameters: Any) -> list[Any]:
        """Run a statement written in the library's own names."""
        return list(self.connection.execute(text(self.names.render(statement)), parameters))

    def leaves(self, statement: str) -> list[Any]:
        """Run a statement over the log's ``{leaves}``."""
        rendered = self.names.render(statement).replace("{leaves}", LEAVES)
        return list(self.connection.exec_driver_sql(rendered, {"events": self.names.object("events")}))


Finding = Callable[[Looking], Iterator[MaintenanceRecommendation]]
