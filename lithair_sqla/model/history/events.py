"""Walking through events: lazily, in pages, either way, narrowed by who, why, what and when."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from copy import copy
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Generic, Self, TypeVar
from uuid import UUID

from lithair_sqla.errors import MomentError, OptionError
from lithair_sqla.model.history.rendering import as_html, as_rich, as_text
from lithair_sqla.model.history.source import Source
from lithair_sqla.store.rows import EventRows
from lithair_sqla.store.statements import EVENT_COLUMNS
from lithair_sqla.types import Event, Kind

__all__ = ["PAGE", "Filter", "History"]

T = TypeVar("T")
PAGE: Final = 500
"""Events that an iteration holds at a time."""
_SHOWN: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What an event must be to be shown."""

    actor: str | None = None
    correlation_id: UUID | None = None
    types: tuple[str, ...] | None = None
    kinds: tuple[str, ...] | None = None
    since: datetime | None = None
    until: datetime | None = None

    def conditions(self) -> tuple[str, dict[str, Any]]:
        """Write them as SQL on ``e``, each starting with AND, with their parameters."""
        tests = {
            "actor": "e.actor = %(actor)s",
            "correlation_id": "e.correlation_id = %(correlation_id)s",
            "types": "e.type = ANY (%(types)s)",
            "kinds": "e.kind::text = ANY (%(kinds)s)",
            "since": "e.recorded_at >= %(since)s",
            "until": "e.recorded_at < %(until)s",
        }
        given = {name: getattr(self, name) for name in tests if getattr(self, name) is not None}
        parameters = {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}
        return "".join(f" AND {tests[name]}" for name in given), parameters


class History(Generic[T]):
    """Events in order, read as they are asked for; iterating again reads again.

    Narrowing it (``where``, ``newest``, ``limit``) gives another history and leaves this one as it is.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._filter = Filter()
        self._is_backwards = False
        self._limit: int | None = None

    def _with(self, **changed: Any) -> Self:
        made = copy(self)
        for name, value in changed.items():
            setattr(made, name, value)
        return made

    # ------------------------------------------------------------------------------------------------ narrowing

    def where(
        self,
        *,
        actor: str | None = None,
        correlation_id: UUID | str | None = None,
        types: str | Collection[str] | None = None,
        kinds: Kind | Collection[Kind] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Self:
        """Show only some events; a second call narrows further.

        Args:
            actor: those written under ``context(user_id=…)`` of this, or by this database user.
            correlation_id: those of one request or workflow.
            types: of this type, or one of several.
            kinds: creates, updates, deletes, baselines or notes.
            since: recorded at or after an aware datetime.
            until: recorded before an aware datetime.

        Raises:
            OptionError: a value of the wrong type.
            MomentError: a naive datetime.
        """
        given: dict[str, Any] = {"actor": actor, "since": _aware(since), "until": _aware(until)}
        given["correlation_id"] = _uuid(correlation_id)
        given["types"] = (types,) if isinstance(types, str) else types and tuple(types)
        given["kinds"] = (
            (kinds.value,) if isinstance(kinds, Kind) else kinds and tuple(Kind(kind).value for kind in kinds)
        )
        before = self._filter
        changed = {name: value for name, value in given.items() if value is not None}
        for name in ("actor", "correlation_id"):
            if name in changed and getattr(before, name) not in (None, changed[name]):
                changed["types"] = ()  # two of them cannot hold at once
        if "types" in changed and before.types is not None:
            changed["types"] = tuple(name for name in changed["types"] if name in before.types)
        if "kinds" in changed and before.kinds is not None:
            changed["kinds"] = tuple(kind for kind in changed["kinds"] if kind in before.kinds)
        if "since" in changed and before.since is not None:
            changed["since"] = max(changed["since"], before.since)
        if "until" in changed and before.until is not None:
            changed["until"] = min(changed["until"], before.until)
        return self._with(_filter=replace(before, **changed))

    def newest(self) -> Self:
        """Walk from the newest event to the oldest."""
        return self._with(_is_backwards=True)

    def oldest(self) -> Self:
        """Walk from the oldest event to the newest, as it is from the start."""
        return self._with(_is_backwards=False)

    def limit(self, count: int) -> Self:
        """Show at most so many events.

        Raises:
            OptionError: not a whole number from 0.
        """
        if type(count) is not int or count < 0:
            raise OptionError(f"limit() takes a whole number from 0, not {count!r:.40}")
        return self._with(_limit=count if self._limit is None else min(count, self._limit))

    # ------------------------------------------------------------------------------------------------ reading

    def __iter__(self) -> Iterator[Event]:
        """Yield the events, a page of them in memory at a time."""
        left = self._limit
        for event in self._walk(page=PAGE if left is None else max(1, min(PAGE, left)), after=None):
            if left is not None:
                if left == 0:
                    return
                left -= 1
            yield event

    def __reversed__(self) -> Iterator[Event]:
        """Yield the events from the other end; with a limit, those of this end in the other order."""
        if self._limit is not None:
            return reversed(self.all())
        return iter(self._with(_is_backwards=not self._is_backwards))

    def page(self, size: int = 50, *, after: Event | int | None = None) -> list[Event]:
        """Return some events, and those after them at the next call; whatever is written meanwhile shifts nothing.

        Args:
            size: at most so many.
            after: the last event of the page before, or its position; ``None`` for the first page.

        Raises:
            OptionError: the size is no whole number from 1.
        """
        if type(size) is not int or size < 1:
            raise OptionError(f"page() takes a size from 1, not {size!r:.40}")
        found = []
        for event in self._walk(page=size, after=after.position if isinstance(after, Event) else after):
            found.append(event)
            if len(found) == size:
                break
        return found

    def first(self) -> Event | None:
        """Return the first event in this order, if there is one."""
        return next(iter(self.limit(1)), None)

    def all(self) -> list[Event]:
        """Return all events as a list."""
        return list(iter(self))

    def __bool__(self) -> bool:
        """Tell whether there is an event."""
        return self.first() is not None

    def __len__(self) -> int:
        """Count the events, in the database; ``list(…)`` asks for it too, ``all()`` does not."""
        return self.count()

    def count(self) -> int:
        """Count the events, in the database."""
        count = self._count()
        return count if self._limit is None else min(count, self._limit)

    def _walk(self, *, page: int, after: int | None) -> Iterator[Event]:
        """Yield events in order, those beyond a position; the subclass knows where they stand."""
        raise NotImplementedError

    def _count(self) -> int:
        raise NotImplementedError

    # ------------------------------------------------------------------------------------------------ looks

    def __str__(self) -> str:
        """Show the newest events, a line each."""
        return as_text(repr(self), *self._newest_shown())

    def __rich__(self) -> Any:
        """Show the newest events as a table of rich."""
        return as_rich(repr(self), *self._newest_shown())

    def _repr_html_(self) -> str:
        """Show the newest events as a table for notebooks."""
        return as_html(repr(self), *self._newest_shown())

    def _newest_shown(self) -> tuple[list[Event], int]:
        """Return the newest events, in the history's order, and how many there are beside them."""
        total = self.count()
        if self._limit is not None:
            events = self.all()[:_SHOWN] if self._is_backwards else self.all()[-_SHOWN:]
        else:
            events = self.newest().page(_SHOWN)
            events = events if self._is_backwards else events[::-1]
        return events, total - len(events)

    # ------------------------------------------------------------------------------------------------ SQL

    def _conditions(self) -> tuple[str, dict[str, Any]]:
        """Write the filter and the moment's end as SQL on ``e``."""
        conditions, parameters = self._filter.conditions()
        moment = self._source.moment
        if moment is not None:
            conditions += " AND e.position <= %(moment)s AND e.transaction_id <> ALL (%(left_out)s::bigint[])"
            parameters |= {"moment": moment.position, "left_out": list(moment.left_out)}
        return conditions, parameters

    def _execute(self, statement: str, parameters: dict[str, Any]) -> Any:
        """Run SQL whose only percent signs are its parameters'."""
        return self._source.connection.exec_driver_sql(statement, parameters)


def render(source: Source, template: str) -> str:
    """Fill a store's names into SQL with parameters; a percent sign in one of the names is not a parameter."""
    return source.names.render(template.replace("%(", "\0")).replace("%", "%%").replace("\0", "%(")


def select_events(source: Source, tail: str, *, with_stream: bool) -> str:
    """Write a select of events, with their stream's name and key where it is not known."""
    columns = f"{EVENT_COLUMNS}, s.name, s.key" if with_stream else EVENT_COLUMNS
    return render(source, f"SELECT {columns} FROM lithair.events e {tail}")


def rows_of(source: Source) -> EventRows:
    """Return what makes events of rows."""
    return EventRows(source.names, exact_numbers=False)


def _aware(time: Any) -> Any:
    if time is None:
        return None
    if not isinstance(time, datetime):
        raise OptionError(f"since= and until= take datetimes, not {time!r:.40}")
    if time.utcoffset() is None:
        raise MomentError(f"{time.isoformat()} has no time zone, so it names no moment: give an aware datetime")
    return time


def _uuid(value: Any) -> UUID | None:
    if value is None or isinstance(value, UUID):
        return value
    try:
        return UUID(value)
    except (ValueError, AttributeError, TypeError) as error:
        raise OptionError(f"correlation_id= takes a UUID or its text, not {value!r:.40}") from error
