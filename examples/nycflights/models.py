"""The models, as anyone would write them for SQLAlchemy. What makes them event-sourced is the mixin before ``Base``.

``Flight`` says besides what its events are called, by the columns that a change touches; that is optional.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import DateTime, ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from lithair_sqla import EventSourced, Persistence

__all__ = ["Airline", "Airport", "AnyFlight", "Base", "Flight", "PlainFlight", "Plane"]


class Base(DeclarativeBase):
    type_annotation_map = {datetime: DateTime(timezone=True)}  # noqa: RUF012 - SQLAlchemy's own way to say it


class Airline(EventSourced, Base):
    __tablename__ = "airline"

    code: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]


class Airport(EventSourced, Base):
    __tablename__ = "airport"

    code: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    latitude: Mapped[float]
    longitude: Mapped[float]
    altitude_feet: Mapped[int]


class Plane(EventSourced, Base):
    __tablename__ = "plane"

    tail_number: Mapped[str] = mapped_column(primary_key=True)
    built: Mapped[int | None]
    manufacturer: Mapped[str]
    model: Mapped[str]
    seats: Mapped[int]


class AnyFlight(Base):
    """A flight's columns: they would stand in ``Flight`` itself, were it not for the plain table to compare it with."""

    __abstract__ = True

    id: Mapped[int] = mapped_column(primary_key=True)
    airline_code: Mapped[str] = mapped_column(ForeignKey("airline.code"))
    number: Mapped[int]
    origin: Mapped[str] = mapped_column(ForeignKey("airport.code"))
    # Not foreign keys: the public files lack some planes and four of the destinations.
    destination: Mapped[str]
    tail_number: Mapped[str | None]
    distance_miles: Mapped[int]
    scheduled_departure: Mapped[datetime]
    scheduled_arrival: Mapped[datetime]
    departed_at: Mapped[datetime | None]
    landed_at: Mapped[datetime | None]
    departure_delay: Mapped[int | None]
    arrival_delay: Mapped[int | None]
    air_time: Mapped[int | None]
    cancelled: Mapped[bool] = mapped_column(default=False)
    diverted: Mapped[bool] = mapped_column(default=False)


class Flight(EventSourced, AnyFlight):
    __tablename__ = "flight"
    __persistence__ = Persistence(
        created_event="FlightScheduled",
        events={
            "FlightDeparted": ["departed_at", "departure_delay"],
            "FlightLanded": ["landed_at", "arrival_delay", "air_time"],
            "FlightDiverted": ["diverted", "landed_at"],
            "FlightCancelled": ["cancelled"],
        },
    )


class PlainFlight(AnyFlight):
    __tablename__ = "plain_flight"
