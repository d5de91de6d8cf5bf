"""``query(session)``: where both builders begin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar, overload

from sqlalchemy import Connection, MetaData
from sqlalchemy.orm import Session

from lithair_sqla.errors import QueryError
from lithair_sqla.options import StorageConfig
from lithair_sqla.query.builder import ModelQuery
from lithair_sqla.query.fields import model_named
from lithair_sqla.query.projection import Projection

__all__ = ["Query", "query"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Query:
    """A question that is about to be asked.

    Attributes:
        where: a session, or, for projections, a connection.
        config: which store.
        metadata: of the classes that can be named; ``None`` for all.
    """

    where: Session | Connection
    config: StorageConfig
    metadata: MetaData | None = None

    @overload
    def stream_type(self, model: type[T]) -> ModelQuery[T]: ...

    @overload
    def stream_type(self, model: str) -> ModelQuery[Any]: ...

    def stream_type(self, model: Any) -> ModelQuery[Any]:
        """Ask for objects of an event-sourced class, named by itself or by its streams.

        Raises:
            QueryError: no such class (suggests the nearest), or a connection instead of a session.
            MappingError: the class is not event-sourced.
        """
        if not isinstance(self.where, Session):
            raise QueryError("objects come from a session: query(session).stream_type(…)")
        return ModelQuery(session=self.where, model=model_named(model, self.metadata))

    def projection(self, name: str) -> Projection:
        """Ask for figures over the log.

        Args:
            name: what the projection is called, 1 to 63 bytes.
        """
        connection = self.where.connection() if isinstance(self.where, Session) else self.where
        return Projection(connection=connection, config=self.config, name=name)


def query(where: Session | Connection, *, config: StorageConfig | None = None) -> Query:
    """Begin a question to the models or to the log.

    Args:
        where: a session; for projections a connection will do.
        config: which store; ``None`` for the defaults (``Lithair(…).query(session)`` knows its own).
    """
    return Query(where, config or StorageConfig())
