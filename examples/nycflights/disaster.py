"""A table is lost, and comes back out of its log."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter

from sqlalchemy import Engine

from lithair_sqla import audit, create_all, rebuild
from lithair_sqla.errors import WriteRefusedError
from lithair_sqla.model.audit import AuditReport
from nycflights.meter import meter
from nycflights.models import Airline, Airport, Base, Flight, Plane

__all__ = ["Recovery", "Verdict", "audit_everything", "lose_and_rebuild"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What the loss of a table and its return looked like.

    Attributes:
        refusal: what TRUNCATE was told while the guard stood.
        lost: rows that the audit missed after the guard had been switched off and the table emptied.
        rebuilt: rows that the log gave back …
        seconds: … and how long it took.
        differences: rows in which the rebuilt table differs from its plain twin.
    """

    refusal: str
    lost: int
    rebuilt: int
    seconds: float
    differences: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The audit of all tables, one after the other."""

    clean: bool
    rows: int
    events: int
    seconds: float
    reports: list[AuditReport]


def lose_and_rebuild(engine: Engine) -> Recovery:
    """Empty the flights' table behind the guard's back, find out, and rebuild it.

    Args:
        engine: of the table's owner, whom the guard cannot stop.
    """
    refusal = _try_to_truncate(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE flight DISABLE TRIGGER USER")
        connection.exec_driver_sql("TRUNCATE flight")
    with engine.connect() as connection:
        lost = audit(connection, Flight).found
    create_all(engine, Base)  # mends the guard; every other table and function is found as it should be
    started = perf_counter()
    with meter("rebuilding the lost table", lost) as report:
        (rebuilt,) = rebuild(engine, Flight, progress=lambda done, _: report(done))
    seconds = perf_counter() - started
    with engine.connect() as connection:
        differences = connection.exec_driver_sql(
            "SELECT count(*) FROM ((TABLE flight EXCEPT TABLE plain_flight) UNION ALL "
            "(TABLE plain_flight EXCEPT TABLE flight)) AS difference"
        ).scalar_one()
    return Recovery(refusal=refusal, lost=lost, rebuilt=rebuilt.written, seconds=seconds, differences=differences)


def audit_everything(engine: Engine) -> Verdict:
    """Replay the log of every table and compare it with the rows."""
    started = perf_counter()
    with engine.connect() as connection:
        reports = [audit(connection, model) for model in (Airline, Airport, Plane, Flight)]
    return Verdict(
        clean=all(reports),
        rows=sum(report.rows for report in reports),
        events=sum(report.events for report in reports),
        seconds=perf_counter() - started,
        reports=reports,
    )


def _try_to_truncate(engine: Engine) -> str:
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql("TRUNCATE flight")
    except WriteRefusedError as error:
        return str(error)
    raise AssertionError("TRUNCATE went through the guard")
