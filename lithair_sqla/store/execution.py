"""One statement, sent as SQLAlchemy sends its own (echo, tracing and ``handle_error`` see it), its error explained."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from sqlalchemy.exc import DBAPIError

from lithair_sqla.schema.create import names_in
from lithair_sqla.store.statements import Statements
from lithair_sqla.store.translation import translate_own

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, CursorResult

    from lithair_sqla.options import StorageConfig
    from lithair_sqla.schema.names import Names

__all__ = ["Channel"]


@dataclass(slots=True)
class Channel:
    """A connection, and how the store's objects are called in its database.

    Attributes:
        connection: where statements go; never committed from here.
        config: which store.
    """

    connection: Connection
    config: StorageConfig
    _names: Names | None = None

    @property
    def names(self) -> Names:
        """Names of the store's objects; asked of the database once an engine."""
        if self._names is None:
            with self.explaining():
                self._names = names_in(self.connection, self.config)
        return self._names

    @property
    def statements(self) -> Statements:
        """The store's SQL for this database."""
        return Statements.of(self.names)

    def execute(self, statement: str, parameters: tuple[Any, ...] = ()) -> CursorResult[Any]:
        """Send one statement with ``%s`` parameters.

        Raises:
            LithairError: what came up belongs to the library; anything else is raised as SQLAlchemy does.
        """
        with self.explaining():
            return self.connection.exec_driver_sql(statement, parameters)

    def row(self, statement: str, parameters: tuple[Any, ...] = ()) -> Any:
        """Send one statement and return its only row, or ``None`` where it gives none."""
        return self.execute(statement, parameters).one_or_none()

    @property
    def driver(self) -> Any:
        """The psycopg connection underneath."""
        return self.connection.connection.driver_connection

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """Turn what the store can explain of the database's and the driver's errors into errors of the library."""
        try:
            yield
        except DBAPIError as error:
            explained = translate_own(error, self._names, lost=error.connection_invalidated)
            if explained is None:
                raise
            raise explained from error.orig
        except psycopg.Error as error:
            # From the driver itself, by COPY: SQLAlchemy has yet to hear of it.
            lost = bool(self.driver.closed)
            explained = translate_own(error, self._names, lost=lost)
            if lost:
                self.connection.invalidate(error)
            if explained is not None:
                raise explained from error
            raise DBAPIError.instance(None, None, error, psycopg.Error, dialect=self.connection.dialect) from error
