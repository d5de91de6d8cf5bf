"""The history of one object: its events, and the object itself as it was at any of them."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Table, inspect
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import ColumnProperty, Mapper, make_transient
from sqlalchemy.orm.interfaces import ORMOption

from lithair_sqla.errors import MomentError, PastSessionError
from lithair_sqla.model.history.changes import Change, changes_of_object
from lithair_sqla.model.history.events import PAGE, History, render, rows_of, select_events
from lithair_sqla.model.history.source import Source, Stream
from lithair_sqla.model.travel.moment import MomentLike, Within
from lithair_sqla.model.travel.session import PastSession
from lithair_sqla.types import Event, StreamId

__all__ = ["ObjectHistory"]

T = TypeVar("T")


class ObjectHistory(History[T]):
    """The events of one object; those of a joined-inheritance object's several streams as one.

    A *version* is an event's place in it: 1, 2, 3 … For an object of one table it is the event's own ``version``.
    """

    def __init__(self, source: Source, identity: tuple[Any, ...]) -> None:
        super().__init__(source)
        self._identity = identity

    def __repr__(self) -> str:
        """Show whose it is, without asking the database."""
        shown = self._identity[0] if len(self._identity) == 1 else self._identity
        return f"<History of {self._source.mapper.class_.__name__} {shown!r}>"

    @property
    def streams(self) -> tuple[StreamId, ...]:
        """The streams that the object's events stand in; none where it was never written."""
        return tuple(stream.name for stream in self._source.streams(self._identity))

    # ------------------------------------------------------------------------------------------------ then

    def at(
        self,
        *,
        version: int | None = None,
        time: datetime | None = None,
        position: int | None = None,
        options: Sequence[ORMOption] = (),
    ) -> T | None:
        """Return the object as it was, detached; ``None`` where it was not there.

        Args:
            version: right after the event of this version, in the middle of its transaction if need be.
            time: at an aware datetime.
            position: at a position of the log.
            options: loader options, for what it was related to then:
                ``at(version=7, options=[selectinload(Order.lines)])`` is the order and its lines.

        Raises:
            MomentError: none or several of the three are given, there is no such version, or the moment is in the
                future or has no time zone.
        """
        given = [moment for moment in (version, time, position) if moment is not None]
        if len(given) != 1:
            raise MomentError("at() takes one of version=, time= and position=")
        if version is None:
            return self._at(given[0], options)
        return self._at(self._moment_of(version), options)

    def diff(self, old: int, new: int) -> dict[str, tuple[Any, Any]]:
        """Tell what differs between two versions: ``{"price": (Decimal("9.90"), Decimal("12.00"))}``.

        Values are as the class has them, by the names of its attributes. Where the object was not there (version 0, or
        after a delete), its values count as ``None``.

        Args:
            old: a version, or 0 for before the first.
            new: another.

        Raises:
            MomentError: there is no such version.
        """
        before, after = (self._values(version) for version in (old, new))
        names = [*before, *(name for name in after if name not in before)]
        types = self._types()
        pairs = {name: (before.get(name), after.get(name)) for name in names}
        return {
            name: pair
            for name, pair in pairs.items()
            if not (pair[0] is None and pair[1] is None)
            and (None in pair or name not in types or not types[name].compare_values(*pair))
        }

    def of(self, attribute: Any) -> list[Change]:
        """Tell every change of one attribute: when, from what, to what, by whom; one statement.

        Args:
            attribute: its name, or ``Product.price``.

        Raises:
            MappingError: it is not a column of the class.
        """
        return changes_of_object(
            self._source, self._filter, self._identity, attribute, backwards=self._is_backwards, limit=self._limit
        )

    def revert(self, version: int) -> T:
        """Make the object in the session what it was at a version; the next flush writes that as new events.

        Its key and what the database computes stay as they are. One that was deleted since is added again.

        Args:
            version: to which; the object must have been there.

        Returns:
            The session's object.

        Raises:
            MomentError: there is no such version, or the object was not there.
            PastSessionError: the session is one on the past.
        """
        if isinstance(self._source.session, PastSession):
            raise PastSessionError("a session on the past is read-only: revert with the live session")
        then: Any = self.at(version=version)
        if then is None:
            raise MomentError(
                f"at version {version} {self!r} was not there, so there is nothing to revert to: delete it"
            )
        session = self._source.session
        now: Any = session.get(self._source.mapper.class_, self._identity)
        if now is None:
            _make_new(then)
            session.add(then)
            return then  # type: ignore[no-any-return]
        if type(now) is not type(then):
            raise MomentError(f"at version {version} it was a {type(then).__name__}, and is a {type(now).__name__} now")
        with session.no_autoflush:
            _copy_values(then, now)
        return now  # type: ignore[no-any-return]

    def _moment_of(self, version: int) -> Within:
        if type(version) is not int or version < 0:
            raise MomentError(f"a version is a number from 0, not {version!r:.40}")
        if version == 0:
            return Within(0, 0)
        event = self._event(version)
        if event is None:
            raise MomentError(f"{self!r} has no version {version}: it has {self._unfiltered().count()}")
        return Within(event.position, event.transaction_id)

    def _event(self, version: int) -> Event | None:
        streams = self._source.streams(self._identity)
        if len(streams) == 1:
            statement = select_events(
                self._source,
                "WHERE e.stream_id = %(stream)s AND e.version = %(version)s AND e.position >= %(low)s",
                with_stream=False,
            )
            stream = streams[0]
            moment = self._source.moment
            rows = self._execute(statement, {"stream": stream.id, "version": version, "low": stream.first_position})
            events = rows_of(self._source).of_stream(stream.name, rows.all())
            if moment is not None:
                events = [
                    e for e in events if e.position <= moment.position and e.transaction_id not in moment.left_out
                ]
            return events[0] if events else None
        for place, event in enumerate(self._unfiltered(), 1):
            if place == version:
                return event
        return None

    def _unfiltered(self) -> ObjectHistory[T]:
        return ObjectHistory(self._source, self._identity)

    def _at(self, moment: MomentLike | Within, options: Sequence[ORMOption]) -> T | None:
        with PastSession(self._source.live, moment) as past:
            found: Any = past.get(self._source.mapper.class_, self._identity, options=options)
            try:
                for loaded in list(past.identity_map.values()):
                    _load_columns(past, loaded)
            except InvalidRequestError:
                # Between the events of its two tables an object of a joined subclass is not there yet, or no more.
                found = None
            past.expunge_all()
        return found  # type: ignore[no-any-return]

    def _values(self, version: int) -> dict[str, Any]:
        found = None if version == 0 else self.at(version=version)
        if found is None:
            return {}
        return {name: found.__dict__[name] for name in _columns_of(inspect(found).mapper)}

    def _types(self) -> dict[str, Any]:
        mappers = self._source.mapper.self_and_descendants
        return {name: prop.columns[0].type for mapper in mappers for name, prop in _columns_of(mapper).items()}

    # ------------------------------------------------------------------------------------------------ walking

    def _walk(self, *, page: int, after: int | None) -> Iterator[Event]:
        walks = [self._walk_stream(stream, page, after) for stream in self._source.streams(self._identity)]
        if len(walks) == 1:
            return walks[0]
        return heapq.merge(*walks, key=lambda event: event.position, reverse=self._is_backwards)

    def _walk_stream(self, stream: Stream, page: int, after: int | None) -> Iterator[Event]:
        source = self._source
        conditions, parameters = self._conditions()
        parameters |= {"stream": stream.id, "low": stream.first_position, "last": stream.version, "page": page}
        if after is not None:
            conditions += f" AND e.position {'<' if self._is_backwards else '>'} %(after)s"
            parameters["after"] = after
        beyond, order = ("<", "DESC") if self._is_backwards else (">", "")
        parameters["beyond"] = stream.version + 1 if self._is_backwards else 0
        statement = select_events(
            source,
            "WHERE e.stream_id = %(stream)s AND e.position >= %(low)s AND e.version <= %(last)s "
            f"AND e.version {beyond} %(beyond)s{conditions} ORDER BY e.version {order} LIMIT %(page)s",
            with_stream=False,
        )
        rows = rows_of(source)
        while True:
            events = rows.of_stream(stream.name, self._execute(statement, parameters).all())
            yield from events
            if len(events) < page:
                return
            parameters["beyond"] = events[-1].version
            parameters["page"] = page = max(page, PAGE)

    def _count(self) -> int:
        conditions, parameters = self._conditions()
        streams = self._source.streams(self._identity)
        if not streams:
            return 0
        if not conditions:
            return sum(stream.version for stream in streams)
        parameters |= {"streams": [s.id for s in streams], "low": min(s.first_position for s in streams)}
        statement = render(
            self._source,
            "SELECT count(*) FROM lithair.events e WHERE e.stream_id = ANY (%(streams)s) AND e.position >= %(low)s"
            + conditions,
        )
        found: int = self._execute(statement, parameters).scalar_one()
        return found


def _columns_of(mapper: Mapper[Any]) -> dict[str, ColumnProperty[Any]]:
    """Return the attributes that stand for columns of tables, not for expressions."""
    return {
        prop.key: prop
        for prop in mapper.column_attrs
        if all(isinstance(getattr(column, "table", None), Table) for column in prop.columns)
    }


def _load_columns(past: PastSession, loaded: Any) -> None:
    """Load what is deferred, or stands in a subclass's table: once detached, it could not be."""
    state = inspect(loaded)
    missing = [name for name in _columns_of(state.mapper) if name in state.unloaded]
    if missing:
        past.refresh(loaded, missing)


def _make_new(then: Any) -> None:
    """Make a detached object one that can be added, without what the database computes."""
    mapper = inspect(then).mapper
    make_transient(then)
    for name, prop in _columns_of(mapper).items():
        if prop.columns[0].computed is not None:
            then.__dict__.pop(name, None)


def _copy_values(then: Any, now: Any) -> None:
    """Set the attributes that differ, and let relationships that stand on them be loaded anew."""
    state = inspect(now)
    mapper = state.mapper
    changed = set()
    for name, prop in _columns_of(mapper).items():
        column = prop.columns[0]
        if column.primary_key or column.computed is not None or column is mapper.version_id_col:
            continue
        value = then.__dict__[name]
        if not column.type.compare_values(getattr(now, name), value):
            setattr(now, name, value)
            changed.update(prop.columns)
    stale = [
        r.key for r in mapper.relationships if not r.uselist and changed & set(r.local_columns) and r.key in state.dict
    ]
    if stale:
        state.session.expire(now, stale)
