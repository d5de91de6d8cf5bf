"""A session on the past: the ORM's reads, every one of them, as of a moment.

It is a ``Session`` with an identity map of its own and no transaction of its own: it reads by way of the live session's
connection, inside that one's transaction. On its way to the database each statement makes a ``journey``; whatever would
write, lock, or read past that is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NoReturn, Self

from sqlalchemy import Connection, Table, event, inspect, text
from sqlalchemy.exc import UnboundExecutionError
from sqlalchemy.orm import Mapper, ORMExecuteState, Query, Session

from lithair_sqla.errors import MomentError, OptionError, PastSessionError
from lithair_sqla.model.declarative import event_sourced_mappers, tables_of
from lithair_sqla.model.travel.journey import Explanation, Journeys, for_reading
from lithair_sqla.model.travel.moment import Moment, MomentLike, Moments, Within
from lithair_sqla.options import StorageConfig
from lithair_sqla.schema.tables import LibraryTables
from lithair_sqla.store.execution import Channel

__all__ = ["PastSession"]

_HELD: Final = "lithair.past"
_READ_ONLY: Final = "is read-only"
_NO_TRANSACTION: Final = "has no transaction of its own"


def _refused(name: str, why: str) -> Any:
    def method(*_: Any, **__: Any) -> NoReturn:
        raise PastSessionError(f"a session on the past {why}: {name}() belongs to the live session")

    method.__name__ = name
    method.__doc__ = f"Refused: a session on the past {why}."
    return method


class PastSession(Session):
    """A read-only session on a past moment; made by ``as_of``.

    Attributes:
        live: the session it was made of, whose transaction it reads in.
    """

    def __init__(
        self, live: Session, asked: Any, *, live_tables: Iterable[type | Table] = (), explain: bool = False
    ) -> None:
        self.live = live
        live_now = frozenset(table for named in live_tables for table in _tables(named))
        self._journeys = Journeys(Moments(asked), live_now, explain=explain)
        info = {key: value for key, value in live.info.items() if key != _HELD}
        super().__init__(
            autoflush=False, expire_on_commit=False, query_cls=getattr(live, "_query_cls", Query), info=info
        )
        # What listens to the live session's reads (a filter by tenant, say) listens to these too, and before us.
        heard = set(self.dispatch.do_orm_execute)
        for listener in live.dispatch.do_orm_execute:
            if listener not in heard:
                event.listen(self, "do_orm_execute", listener)
        event.listen(self, "do_orm_execute", self._travel)
        event.listen(self, "before_attach", _refuse_object)
        # Held by the live session, so that objects go on loading what they lack for as long as that one lives.
        live.info.setdefault(_HELD, set()).add(self)

    # --------------------------------------------------------------------------------------------- the moment

    def __enter__(self) -> Self:
        """Look the moment up, where there is one store to look in."""
        self.open()
        return self

    def open(self) -> None:
        """Look the moment up now rather than at the first statement.

        Raises:
            MomentError: it lies in the future.
        """
        store = self._store()
        if store is not None:
            self._journeys.moments.of(*store)

    @property
    def moment(self) -> Moment:
        """The moment as the log knows it.

        Raises:
            MomentError: the session has several stores, each with its own positions, or it lies in the future.
        """
        found = self._journeys.moments.only
        if found is not None:
            return found
        store = self._store()
        if store is None:
            raise MomentError("the session's classes lie in several stores, each with positions of its own, or in none")
        return self._journeys.moments.of(*store)

    def moment_in(self, connection: Connection, config: StorageConfig) -> Moment:
        """Return the moment in one store."""
        return self._journeys.moments.of(connection, config)

    @property
    def position(self) -> int:
        """The position up to which events are in."""
        return self.moment.position

    @property
    def settled(self) -> bool:
        """Whether the answers are final: nothing can still be committed before the moment."""
        return self.moment.settled

    @property
    def asked(self) -> MomentLike | Within:
        """The moment as it was asked for."""
        return self._journeys.moments.asked

    @property
    def explained(self) -> list[Explanation]:
        """With ``explain=True``, how each statement was answered."""
        return self._journeys.explained

    def _store(self) -> tuple[Connection, StorageConfig] | None:
        """Return the store that the session's event-sourced classes have in common, if they have."""
        found: dict[tuple[Any, str | None, str], tuple[Mapper[Any], StorageConfig]] = {}
        for class_ in event_sourced_mappers():
            mapper: Mapper[Any] | None = inspect(class_, raiseerr=False)
            if mapper is None or not isinstance(mapper.local_table, Table):
                continue
            try:
                bind = self.live.get_bind(mapper=mapper)
            except UnboundExecutionError:
                continue
            config = LibraryTables.of(mapper.local_table.metadata).config
            # What makes a store is where its tables stand, not how often it takes snapshots.
            found.setdefault((bind, config.schema, config.prefix), (mapper, config))
        stores = [(self.get_bind(mapper=mapper), config) for mapper, config in found.values()]
        if len(stores) > 1:
            # A program may map classes of stores that are not in this database.
            stores = [store for store in stores if _is_there(*store)]
        return stores[0] if len(stores) == 1 else None

    # --------------------------------------------------------------------------------------------- reading

    def execute(self, statement: Any, *args: Any, **keywords: Any) -> Any:
        """Read as of the moment; anything else is refused."""
        return super().execute(for_reading(statement), *args, **keywords)

    def scalar(self, statement: Any, *args: Any, **keywords: Any) -> Any:
        """Read one value as of the moment; anything else is refused."""
        return super().scalar(for_reading(statement), *args, **keywords)

    def scalars(self, statement: Any, *args: Any, **keywords: Any) -> Any:
        """Read objects or values as of the moment; anything else is refused."""
        return super().scalars(for_reading(statement), *args, **keywords)

    def get_bind(self, mapper: Any = None, *, clause: Any = None, bind: Any = None, **_: Any) -> Connection:
        """Return the live session's connection for a mapper or statement, in that session's transaction."""
        arguments = {"mapper": mapper, "clause": clause, "bind": bind}
        return self.live.connection(
            bind_arguments={name: value for name, value in arguments.items() if value is not None}
        )

    def _connection_for_bind(self, engine: Any, *_: Any, **__: Any) -> Any:
        # The live session's connection as it is: no transaction of our own to begin, commit or outlive that one's.
        return engine

    def _travel(self, state: ORMExecuteState) -> Any:
        return self._journeys.take(self.get_bind(**state.bind_arguments), state)

    def close(self) -> None:
        """Let go of every object; the live session and its transaction stay as they are."""
        self.live.info.get(_HELD, set()).discard(self)
        super().close()

    # --------------------------------------------------------------------------------------------- refusals

    add = _refused("add", _READ_ONLY)
    add_all = _refused("add_all", _READ_ONLY)
    delete = _refused("delete", _READ_ONLY)
    delete_all = _refused("delete_all", _READ_ONLY)
    merge = _refused("merge", _READ_ONLY)
    merge_all = _refused("merge_all", _READ_ONLY)
    flush = _refused("flush", _READ_ONLY)
    bulk_save_objects = _refused("bulk_save_objects", _READ_ONLY)
    bulk_insert_mappings = _refused("bulk_insert_mappings", _READ_ONLY)
    bulk_update_mappings = _refused("bulk_update_mappings", _READ_ONLY)
    begin = _refused("begin", _NO_TRANSACTION)
    begin_nested = _refused("begin_nested", _NO_TRANSACTION)
    commit = _refused("commit", _NO_TRANSACTION)
    rollback = _refused("rollback", _NO_TRANSACTION)
    prepare = _refused("prepare", _NO_TRANSACTION)
    connection = _refused("connection", "has no connection of its own, and a bare one would read the present")


def _tables(named: type | Table) -> list[Table]:
    if isinstance(named, Table):
        return [named]
    mapper: Mapper[Any] | None = inspect(named, raiseerr=False)
    if not isinstance(mapper, Mapper):
        raise OptionError(f"as_of(…, live=[…]) names mapped classes and tables, not {named!r:.80}")
    return tables_of(mapper)


def _is_there(connection: Connection, config: StorageConfig) -> bool:
    events = Channel(connection, config).names.object("events")
    return connection.execute(text("SELECT to_regclass(:name) IS NOT NULL"), {"name": events}).scalar_one() is True


def _refuse_object(_: Session, instance: Any) -> NoReturn:
    raise PastSessionError(
        f"a session on the past is read-only: a {type(instance).__name__} cannot be added to it; "
        "add it to the live session"
    )
