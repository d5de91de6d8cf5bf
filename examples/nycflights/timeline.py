"""What happened, in the order in which it happened: flights are scheduled, depart, land, are diverted or cancelled.

The whole year passes through a heap that holds a day or two of it: memory does not grow with the number of flights.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from heapq import heappop, heappush
from typing import Any, Final, TypeAlias

from nycflights.data import FlightRecord, new_york

__all__ = ["BATCH", "Cancelled", "Moved", "Movement", "Scheduled", "Step", "timeline"]

BATCH: Final = 1_000
"""Rows that one transaction writes, at most."""

_EARLY: Final = timedelta(hours=1)
"""Nobody left earlier than that before schedule (43 minutes is the year's record)."""


@dataclass(frozen=True, slots=True)
class Scheduled:
    """Flights that are announced: the columns of each."""

    flights: list[dict[str, Any]]

    @property
    def settled(self) -> int:
        """How many flights this is the end of: none."""
        return 0


@dataclass(frozen=True, slots=True, order=True)
class Movement:
    """One thing that happens to one flight, and the columns that it changes; ``settled`` when it is the last one."""

    at: datetime
    flight_id: int
    changes: dict[str, Any] = field(compare=False)
    settled: bool = field(compare=False)


@dataclass(frozen=True, slots=True)
class Moved:
    """Movements between midnight and noon or noon and midnight, New York's time, earliest first."""

    movements: list[Movement]

    @property
    def settled(self) -> int:
        """How many flights this is the end of."""
        return sum(movement.settled for movement in self.movements)


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Flights that were due and will not leave: their ids."""

    flight_ids: list[int]

    @property
    def settled(self) -> int:
        """How many flights this is the end of."""
        return len(self.flight_ids)


Step: TypeAlias = Scheduled | Moved | Cancelled


def timeline(records: Iterable[FlightRecord]) -> Iterator[Step]:
    """Turn flights, given day after day, into the steps that an application would have taken."""
    pending: list[Movement] = []
    announced: list[dict[str, Any]] = []
    for record in records:
        announced.append(_schedule(record))
        for movement in _movements(record):
            heappush(pending, movement)
        if len(announced) == BATCH:
            yield Scheduled(announced)
            announced = []
            # The rest of this record's day is not announced yet; all that happened before it is.
            yield from _release(pending, before=new_york(record.scheduled_departure).date())
    if announced:
        yield Scheduled(announced)
    yield from _release(pending, before=date.max)


def _release(pending: list[Movement], *, before: date) -> Iterator[Step]:
    """Take the movements of the days before ``before`` off the heap, in batches that no noon or midnight divides."""
    batch: list[Movement] = []
    half_day: tuple[date, bool] | None = None
    while pending and new_york(pending[0].at + _EARLY).date() < before:
        clock = new_york(pending[0].at)
        if batch and (len(batch) == BATCH or half_day != (clock.date(), clock.hour >= 12)):
            yield from _steps(batch)
            batch = []
        half_day = clock.date(), clock.hour >= 12
        batch.append(heappop(pending))
    if batch:
        yield from _steps(batch)


def _steps(batch: list[Movement]) -> Iterator[Step]:
    moved = [movement for movement in batch if "cancelled" not in movement.changes]
    cancelled = [movement.flight_id for movement in batch if "cancelled" in movement.changes]
    if cancelled:
        yield Cancelled(cancelled)
    if moved:
        yield Moved(moved)


def _schedule(record: FlightRecord) -> dict[str, Any]:
    return {
        "id": record.line,
        "airline_code": record.carrier,
        "number": record.flight,
        "tail_number": record.tailnum,
        "origin": record.origin,
        "destination": record.dest,
        "distance_miles": record.distance,
        "scheduled_departure": record.scheduled_departure,
        "scheduled_arrival": record.scheduled_arrival,
    }


def _movements(record: FlightRecord) -> Iterator[Movement]:
    if record.departed_at is None:
        yield Movement(record.scheduled_departure, record.line, {"cancelled": True}, settled=True)
        return
    departure = {"departed_at": record.departed_at, "departure_delay": record.departure_delay}
    yield Movement(record.departed_at, record.line, departure, settled=False)
    if record.arrival_delay is not None and record.landed_at is not None:
        arrival = {
            "landed_at": record.landed_at,
            "arrival_delay": record.arrival_delay,
            "air_time": record.air_time,
        }
        yield Movement(record.landed_at, record.line, arrival, settled=True)
        return
    # Where it came down is not known, nor when, unless it reached its destination after all.
    expected = record.departed_at + (record.scheduled_arrival - record.scheduled_departure)
    diverted: dict[str, Any] = {"diverted": True}
    if record.landed_at is not None:
        diverted["landed_at"] = record.landed_at
    yield Movement(record.landed_at or expected, record.line, diverted, settled=True)
