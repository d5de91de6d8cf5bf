"""Fly the timeline through ORM sessions, on the event-sourced table and on its plain twin, and time both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from time import perf_counter
from typing import assert_never

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from lithair_sqla import context
from nycflights import data
from nycflights.models import Airline, Airport, AnyFlight, Plane
from nycflights.timeline import Cancelled, Moved, Movement, Scheduled, Step

__all__ = ["Load", "load_reference_data"]


def load_reference_data(engine: Engine) -> None:
    """Load the airlines, airports and planes."""
    with Session(engine) as session, context(user_id="import"):
        session.add_all(Airline(code=line["carrier"], name=line["name"]) for line in data.airlines())
        session.add_all(
            Airport(
                code=line["faa"],
                name=line["name"],
                latitude=float(line["lat"]),
                longitude=float(line["lon"]),
                altitude_feet=int(line["alt"]),
            )
            for line in data.airports()
        )
        session.add_all(
            Plane(
                tail_number=line["tailnum"],
                built=int(line["year"]) if line["year"] != "NA" else None,
                manufacturer=line["manufacturer"],
                model=line["model"],
                seats=int(line["seats"]),
            )
            for line in data.planes()
        )
        session.commit()


class Load:
    """One table's share of the work, with rows and seconds by kind of step."""

    def __init__(self, engine: Engine, model: type[AnyFlight]) -> None:
        self._engine = engine
        self._model = model
        self.rows: Counter[type[Step]] = Counter()
        self.seconds: dict[type[Step], float] = dict.fromkeys((Scheduled, Moved, Cancelled), 0.0)

    def take(self, step: Step) -> None:
        """Do what a step says, in a transaction of its own."""
        started = perf_counter()
        match step:
            case Scheduled(flights):
                self._schedule(flights)
                rows = len(flights)
            case Moved(movements):
                self._move(movements)
                rows = len(movements)
            case Cancelled(flight_ids):
                self._cancel(flight_ids)
                rows = len(flight_ids)
            case _:
                assert_never(step)
        self.seconds[type(step)] += perf_counter() - started
        self.rows[type(step)] += rows

    def _schedule(self, flights: Iterable[dict[str, object]]) -> None:
        with Session(self._engine) as session, context(user_id="schedule"):
            session.add_all(self._model(**columns) for columns in flights)
            session.commit()

    def _move(self, movements: list[Movement]) -> None:
        wanted = {movement.flight_id for movement in movements}
        with Session(self._engine) as session, context(user_id="tower"):
            query = select(self._model).where(self._model.id.in_(wanted))
            flights = {flight.id: flight for flight in session.scalars(query)}
            for movement in movements:
                flight = flights[movement.flight_id]
                if session.is_modified(flight):  # it left and landed in one batch: that is two changes, not one
                    session.flush()
                for name, value in movement.changes.items():
                    setattr(flight, name, value)
            session.commit()

    def _cancel(self, flight_ids: list[int]) -> None:
        """Another program, in plain SQL: no session, no model, no hook."""
        table = self._model.__tablename__
        statement = f"UPDATE {table} SET cancelled = true WHERE id = ANY(%s)"  # noqa: S608 - one of two names of ours
        with self._engine.begin() as connection:
            connection.exec_driver_sql(statement, (flight_ids,))
