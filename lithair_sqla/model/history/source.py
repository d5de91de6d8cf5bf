"""Where a history is read: the session, the class's tables, and how far back the session itself stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, text
from sqlalchemy.orm import Mapper, Session
from sqlalchemy.orm.exc import UnmappedColumnError

from lithair_sqla.model.declarative import tables_of
from lithair_sqla.model.fold import Folding
from lithair_sqla.model.pinning import pinned
from lithair_sqla.model.replay import key_binds, key_parameter
from lithair_sqla.model.travel.moment import Moment
from lithair_sqla.model.travel.session import PastSession
from lithair_sqla.schema.guards import guard_of, qualified, shape_of
from lithair_sqla.schema.names import Names
from lithair_sqla.schema.tables import LibraryTables
from lithair_sqla.store.execution import Channel
from lithair_sqla.types import StreamId

__all__ = ["Source", "Stream"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A stream as it stands in the database.

    Attributes:
        id: its number there.
        name: its name.
        first_position: no event of it stands lower.
        version: of its newest event.
        fold: of its table.
    """

    id: int
    name: StreamId
    first_position: int
    version: int
    fold: Folding


@dataclass(frozen=True, slots=True)
class Source:
    """A session and a class: everything that reading a history needs.

    Attributes:
        session: as it was given; one on the past ends the history at its moment.
        mapper: of the class.
    """

    session: Session
    mapper: Mapper[Any]

    @property
    def live(self) -> Session:
        """The session whose connection is used."""
        return self.session.live if isinstance(self.session, PastSession) else self.session

    @property
    def connection(self) -> Connection:
        """The connection, of the session's present transaction."""
        return self.live.connection(bind_arguments={"mapper": self.mapper})

    @property
    def names(self) -> Names:
        """How the store's objects are called."""
        return Channel(self.connection, LibraryTables.of(self._metadata_table.metadata).config).names

    @property
    def moment(self) -> Moment | None:
        """The moment at which the history ends."""
        if not isinstance(self.session, PastSession):
            return None
        return self.session.moment_in(self.connection, self.names.config)

    @property
    def _metadata_table(self) -> Table:
        return next(table for table in tables_of(self.mapper) if guard_of(table) is not None)

    def foldings(self) -> list[Folding]:
        """Return how the class's tables are folded: its own and its parents', then those of its subclasses."""
        names = self.names
        mappers = [
            self.mapper,
            *(mapper for mapper in self.mapper.self_and_descendants if not _stands_alone(mapper, self.mapper)),
        ]
        tables = {table: None for mapper in mappers for table in tables_of(mapper) if guard_of(table) is not None}
        return [Folding(table, qualified(table, names), names, shape_of(table, names.config)) for table in tables]

    def streams(self, identity: Sequence[Any]) -> list[Stream]:
        """Look up the streams of one object; one statement a table. What was never written has none."""
        found = []
        connection = self.connection
        for fold in self.foldings():
            values = self._key_values(fold, identity)
            condition = fold.names.render(
                "SELECT s.id, s.key, s.first_position, s.version FROM lithair.streams s "
                f"WHERE s.tenant_id = {fold.shape.tenant_id} AND s.name = {fold.stream} AND s.key = "
            )
            # text() takes a colon for a parameter: every one but the key's is escaped.
            statement = text(condition.replace(":", r"\:") + key_parameter(fold).replace("::", r"\:\:"))
            parameters = {f"key_{place}": value for place, value in enumerate(values)}
            with pinned(connection, fold.shape.keys):
                row = connection.execute(statement.bindparams(*key_binds(fold)), parameters).one_or_none()
            if row is not None:
                name = StreamId(fold.shape.stream, row.key, fold.shape.tenant_id)
                found.append(
                    Stream(id=row.id, name=name, first_position=row.first_position, version=row.version, fold=fold)
                )
        return found

    def _key_values(self, fold: Folding, identity: Sequence[Any]) -> list[Any]:
        """Put the values of the class's primary key into the order of a table's key."""
        places = {
            self.mapper.get_property_by_column(column).key: place
            for place, column in enumerate(self.mapper.primary_key)
        }
        values = []
        for position, column in enumerate(fold.key_columns):
            try:
                place = places.get(self.mapper.get_property_by_column(column).key, position)
            except UnmappedColumnError:
                place = position  # a subclass's table: its key has the columns of the parent's, in their order
            values.append(identity[place])
        return values


def _stands_alone(mapper: Mapper[Any], of: Mapper[Any]) -> bool:
    """Tell whether a subclass has a table, and so keys, of its own (concrete inheritance)."""
    return mapper is not of and any(
        ancestor.concrete for ancestor in mapper.iterate_to_root() if ancestor is not of and ancestor.isa(of)
    )
