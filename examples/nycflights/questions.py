"""What the log can be asked: the history of one flight, the fleet at a past moment, the room that an event takes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter
from typing import Final

from sqlalchemy import Connection, case, func, select, text
from sqlalchemy.orm import Session

from lithair_sqla import Event, as_of, history
from nycflights.models import Airline, Flight, Plane

__all__ = ["Airborne", "Fleet", "Footprint", "Story", "fleet_at", "footprint", "never_left", "stories"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A flight, what is remarkable about it, and everything that ever happened to it."""

    flight_id: int
    flight: str
    route: str
    remark: str
    events: list[Event]


@dataclass(frozen=True, slots=True, kw_only=True)
class Airborne:
    """A flight that had left and not landed."""

    flight: str
    route: str
    departed_at: datetime | None
    departure_delay: int | None
    plane: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The flights as they stood at a position of the log.

    Attributes:
        moment: what the clocks showed.
        position: the last position at which nothing later had happened.
        phases: announced flights by what they were doing (``waiting``, ``in the air``, ``landed`` …).
        airborne: those in the air, by the name of the airline.
        planes: a few planes that were in the air, those which left first.
        events: events of flights up to there.
        seconds: that two queries took.
    """

    moment: datetime
    position: int
    phases: Counter[str]
    airborne: Counter[str]
    planes: list[Airborne]
    events: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """Bytes on disk, indexes included: of the log, of its streams and of the table itself."""

    events: int
    log_bytes: int
    streams: int
    stream_bytes: int
    flights: int
    table_bytes: int


def stories(session: Session) -> list[Story]:
    """Tell the stories of the flight that waited longest, and of the first one that was cancelled."""
    latest = select(Flight).order_by(Flight.departure_delay.desc().nulls_last(), Flight.id).limit(1)
    cancelled = select(Flight).where(Flight.cancelled).order_by(Flight.id).limit(1)
    remarks = {"waited longest": latest, "cancelled by another program, in plain SQL": cancelled}
    return [
        Story(
            flight_id=flight.id,
            flight=f"{flight.airline_code} {flight.number}",
            route=f"{flight.origin} → {flight.destination}",
            remark=remark,
            events=list(history(session, flight)),
        )
        for remark, query in remarks.items()
        for flight in session.scalars(query)
    ]


def never_left(session: Session) -> int:
    """Count the flights without a departure time."""
    return session.scalar(select(func.count()).where(Flight.departed_at.is_(None))) or 0


# A moment is a position in the log. Which one belongs to a time of day, the events themselves say: the last of the
# transaction that holds the last departure or landing before it.
_POSITION: Final = text("""
    SELECT max(position) FROM lithair_event_log WHERE stream_name = 'Flight' AND transaction_id = (
        SELECT max(transaction_id) FROM lithair_event_log WHERE stream_name = 'Flight'
           AND (coalesce(event_data->>'departed_at', event_data->>'landed_at'))::timestamptz < :moment)""")
_EVENTS: Final = text("SELECT count(*) FROM lithair_event_log WHERE stream_name = 'Flight' AND position <= :position")
_PHASE: Final = case(
    (Flight.cancelled, "cancelled"),
    (Flight.diverted, "diverted"),
    (Flight.landed_at.is_not(None), "landed"),
    (Flight.departed_at.is_not(None), "in the air"),
    else_="waiting",
)


def fleet_at(session: Session, moment: datetime) -> Fleet:
    """Ask what every flight was doing at a moment."""
    position: int = session.execute(_POSITION, {"moment": moment}).scalar_one()
    events: int = session.execute(_EVENTS, {"position": position}).scalar_one()
    phases, airborne = Counter[str](), Counter[str]()
    by_airline = (
        select(_PHASE, Airline.name, func.count())
        .join(Airline, Airline.code == Flight.airline_code)
        .group_by(_PHASE, Airline.name)
        .order_by(Airline.name)
    )
    first_to_leave = (
        select(Flight, Plane)
        .join(Plane, Plane.tail_number == Flight.tail_number)
        .where(_PHASE == "in the air")
        .order_by(Flight.departed_at, Flight.id)
        .limit(3)
    )
    started = perf_counter()
    with as_of(session, position) as past:
        for phase, airline, flights in past.execute(by_airline):
            phases[phase] += flights
            if phase == "in the air":
                airborne[airline] += flights
        planes = [_airborne(flight, plane) for flight, plane in past.execute(first_to_leave)]
    return Fleet(
        moment=moment,
        position=position,
        phases=phases,
        airborne=airborne,
        planes=planes,
        events=events,
        seconds=perf_counter() - started,
    )


def _airborne(flight: Flight, plane: Plane) -> Airborne:
    return Airborne(
        flight=f"{flight.airline_code} {flight.number}",
        route=f"{flight.origin} → {flight.destination}",
        departed_at=flight.departed_at,
        departure_delay=flight.departure_delay,
        plane=f"{flight.tail_number}: {plane.manufacturer} {plane.model}",
    )


def footprint(connection: Connection) -> Footprint:
    """Measure what the log costs on disk."""
    row = connection.execute(
        text("""
            SELECT (SELECT count(*) FROM lithair_events) AS events,
                (SELECT sum(pg_total_relation_size(inhrelid))::bigint FROM pg_inherits
                  WHERE inhparent = 'lithair_events'::regclass) AS log_bytes,
                (SELECT count(*) FROM lithair_streams) AS streams,
                pg_total_relation_size('lithair_streams') AS stream_bytes,
                (SELECT count(*) FROM flight) AS flights, pg_total_relation_size('flight') AS table_bytes""")
    ).one()
    return Footprint(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it
