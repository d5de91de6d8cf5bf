"""Moments: what a user may name, and the position and the transactions left out that the database makes of it.

A moment never cuts a transaction in two: one that was still writing is left out whole. Right after an *event* means
right after the whole transaction that wrote it, since nobody could see it earlier; right ``before`` it, without any of
that transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Engine

from lithair_sqla.errors import MomentError
from lithair_sqla.options import StorageConfig
from lithair_sqla.store.execution import Channel
from lithair_sqla.types import Event

__all__ = ["Before", "Moment", "MomentLike", "Moments", "Within", "before"]

SKEW: Final = timedelta(seconds=1)
"""How far position and time of recording may be out of order, and an application's clock ahead of the database's."""

_FARTHEST: Final = timedelta(days=700_000)
_LARGEST: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Before:
    """The moment right before an event and everything else that its transaction did."""

    position: int


@dataclass(frozen=True, slots=True)
class Within:
    """The moment right after an event, in the middle of its transaction if need be; ``history`` asks for it.

    Attributes:
        position: the event's.
        transaction_id: its transaction's, which is in as far as it goes.
    """

    position: int
    transaction_id: int


MomentLike = int | datetime | timedelta | Event | Before
"""A position, an aware datetime, a time ago, an event (right after it), or ``before(event)``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A moment as the log knows it.

    Attributes:
        position: events up to it are in.
        left_out: transactions (each named by its first position) that were writing then, and are out.
        settled: the answer is final: nothing can still appear before it. False where nobody can know (a transaction
            that is not READ COMMITTED, a standby).
        last: the last position drawn when it was looked up.
    """

    position: int
    left_out: tuple[int, ...]
    settled: bool
    last: int

    @property
    def low(self) -> int:
        """The position after which every event that the moment does not include stands."""
        return min((self.position, *(first - 1 for first in self.left_out)))


def before(event: Event) -> Before:
    """Name the moment right before an event: nothing of its transaction has happened yet.

    Args:
        event: from ``history`` or from the store.

    Raises:
        MomentError: it is not an event.
    """
    if not isinstance(event, Event):
        raise MomentError(f"before() takes an Event, not {event!r:.80}")
    return Before(event.position)


def _check(asked: Any) -> MomentLike | Within:
    """Refuse what names no moment, before any database is asked.

    Raises:
        MomentError: says what it is and what would do.
    """
    match asked:
        case bool():
            pass
        case int():
            if not 0 <= asked <= _LARGEST:
                raise MomentError(f"a position is a number from 0 to 2**63 - 1, not {asked}")
            return asked
        case datetime():
            if asked.tzinfo is None or asked.utcoffset() is None:
                raise MomentError(
                    f"{asked.isoformat()} has no time zone, so it names no moment: give an aware datetime, such as "
                    f"{asked.isoformat()}+00:00"
                )
            return asked
        case timedelta():
            if asked < timedelta():
                raise MomentError(f"{-asked} from now is in the future: a timedelta says how long ago")
            return asked
        case Event() | Before() | Within():
            return asked
        case _:
            pass
    raise MomentError(
        f"{asked!r:.80} names no moment: give a position, an aware datetime, a timedelta (ago), an Event (right after "
        "it) or before(event)"
    )


def _resolve(connection: Connection, config: StorageConfig, asked: MomentLike | Within) -> Moment:
    """Look a moment up in a store; one statement (and one more, once an engine).

    Raises:
        MomentError: it lies in the future, or is an event that this store does not have.
    """
    position: int | None = None
    instant: datetime | None = None
    ago: timedelta | None = None
    match asked:
        case Event():
            position = asked.position
        case Before():
            position = asked.position - 1
        case Within():
            position = asked.position
        case int():
            position = asked
        case timedelta():
            ago = min(asked, _FARTHEST)
        case datetime():
            instant = asked.astimezone(UTC)
    channel = Channel(connection, config)
    function = channel.names.object("moment").replace("%", "%%")
    row = channel.row(
        f"SELECT * FROM {function}(%s, %s, %s, %s, %s)", (position, isinstance(asked, Event), instant, ago, SKEW)
    )
    if instant is not None and instant > row.now + SKEW:
        raise MomentError(f"{asked} is in the future: the database's clock says {row.now.isoformat()}")
    if position is not None and position > row.last:
        raise MomentError(f"position {position} is in the future: the last one drawn is {row.last}")
    if not row.known:
        raise MomentError(f"event {position} is not in this store")
    left_out = tuple(found for found in row.left_out if not isinstance(asked, Within) or found != asked.transaction_id)
    return Moment(position=row.reached, left_out=left_out, settled=row.settled, last=row.last)


class Moments:
    """One moment, as it was asked for and as each store knows it."""

    def __init__(self, asked: Any) -> None:
        self.asked = _check(asked)
        self._found: dict[tuple[Engine, StorageConfig], Moment] = {}

    @property
    def only(self) -> Moment | None:
        """The moment, where it has been looked up in one store and no other."""
        return next(iter(self._found.values())) if len(self._found) == 1 else None

    def of(self, connection: Connection, config: StorageConfig) -> Moment:
        """Return the moment in a store, looked up at the first call.

        Raises:
            MomentError: it lies in the future, is an event that the store does not have, or is a position and the
                store is not the first one.
        """
        key = (connection.engine, config)
        found = self._found.get(key)
        if found is None:
            if self._found and not isinstance(self.asked, (datetime, timedelta)):
                raise MomentError(f"{self.asked!r} is a place in one store, and this is a second one: give a time")
            found = self._found[key] = _resolve(connection, config, self.asked)
        return found
