"""What the log can be asked: the history of one flight, the fleet at a past moment, the room that an event takes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter
from typing import Any, Final

from sqlalchemy import Connection, func, select, text
from sqlalchemy.orm import Session

from lithair_sqla import Event, history
from nycflights.models import Flight

__all__ = ["Fleet", "Footprint", "Story", "fleet_at", "footprint", "never_left", "stories"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A flight, what is remarkable about it, and everything that ever happened to it."""

    flight_id: int
    flight: str
    route: str
    remark: str
    events: list[Event]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The flights as they stood at a position of the log.

    Attributes:
        moment: what the clocks showed.
        position: the last position at which nothing later had happened.
        phases: announced flights by what they were doing (``waiting``, ``in the air``, ``landed`` …).
        airborne: those in the air, by the name of the airline.
        planes: a few planes that were in the air, those which left first.
        events: events that were folded.
        seconds: that it took.
    """

    moment: datetime
    position: int
    phases: Counter[str]
    airborne: Counter[str]
    planes: list[dict[str, Any]]
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


# A moment is a position in the log. Which one belongs to a time of day, the events themselves say.
_POSITION: Final = text("""
    SELECT max(position) FROM lithair_event_log WHERE stream_name = 'Flight' AND transaction_id = (
        SELECT max(transaction_id) FROM lithair_event_log WHERE stream_name = 'Flight'
           AND (coalesce(event_data->>'departed_at', event_data->>'landed_at'))::timestamptz < :moment)""")

# The state of every flight up to there: its events merged, oldest first, and read as a row of the table.
_PAST: Final = text("""
    CREATE TEMPORARY TABLE past ON COMMIT DROP AS
    SELECT flight.*, folded.events,
        CASE WHEN cancelled THEN 'cancelled' WHEN diverted THEN 'diverted' WHEN landed_at IS NOT NULL THEN 'landed'
             WHEN departed_at IS NOT NULL THEN 'in the air' ELSE 'waiting' END AS phase
      FROM (SELECT lithair_merge(event_data ORDER BY sequence_number) AS state, count(*) AS events
              FROM lithair_event_log WHERE stream_name = 'Flight' AND position <= :position
             GROUP BY aggregate_id) folded,
           jsonb_populate_record(NULL::flight, folded.state) flight""")
_COUNTS: Final = text("""
    SELECT phase, airline.name AS airline, count(*) AS flights, sum(events)::bigint AS events
      FROM past JOIN airline ON airline.code = airline_code GROUP BY phase, airline.name ORDER BY airline.name""")
_PLANES: Final = text("""
    SELECT airline_code || ' ' || number AS flight, origin, destination, departed_at, departure_delay, tail_number,
        plane.manufacturer || ' ' || plane.model AS plane
      FROM past JOIN plane USING (tail_number) WHERE phase = 'in the air' ORDER BY departed_at, past.id LIMIT 3""")


def fleet_at(connection: Connection, moment: datetime) -> Fleet:
    """Compute from the log what every flight was doing at a moment."""
    started = perf_counter()
    position = connection.execute(_POSITION, {"moment": moment}).scalar_one()
    connection.execute(_PAST, {"position": position})
    phases, airborne, events = Counter[str](), Counter[str](), 0
    for row in connection.execute(_COUNTS):
        phases[row.phase] += row.flights
        events += row.events
        if row.phase == "in the air":
            airborne[row.airline] += row.flights
    planes = [dict(row) for row in connection.execute(_PLANES).mappings()]
    return Fleet(
        moment=moment,
        position=position,
        phases=phases,
        airborne=airborne,
        planes=planes,
        events=events,
        seconds=perf_counter() - started,
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
