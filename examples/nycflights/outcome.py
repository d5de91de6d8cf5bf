"""Everything that one run found out, for the screen and for ``--json``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nycflights.disaster import Recovery, Verdict
from nycflights.questions import Fleet, Footprint, Story

__all__ = ["Outcome", "Rate"]

PUBLIC_TOTALS: Final = {31: (27_004, 521), 365: (336_776, 8_255)}
"""Days of 2013 → flights in the public data, and those of them that have no departure time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """One kind of write, on the event-sourced table and on its plain twin: rows, and seconds that each took."""

    step: str
    rows: int
    seconds: float
    plain_seconds: float

    @property
    def ratio(self) -> float:
        """How many times as long it takes with the log."""
        return self.seconds / self.plain_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One run.

    Attributes:
        server: version of PostgreSQL and where it came from.
        days: days of 2013 that were flown.
        flights: flights in the table.
        never_left: those of them without a departure time.
        rates: by kind of write.
        stories: of two flights.
        fleet: the flights at a past moment.
        footprint: bytes on disk.
        recovery: how a lost table came back.
        verdict: the audit at the end.
        peak_memory_mb: of this program, the most it ever held.
        seconds: that all of it took.
    """

    server: str
    days: int
    flights: int
    never_left: int
    rates: list[Rate]
    stories: list[Story]
    fleet: Fleet
    footprint: Footprint
    recovery: Recovery
    verdict: Verdict
    peak_memory_mb: float
    seconds: float

    @property
    def changes(self) -> int:
        """Rows of flights that were inserted or updated."""
        return sum(rate.rows for rate in self.rates)

    @property
    def events(self) -> int:
        """Events in the flights' streams."""
        return next(report.events for report in self.verdict.reports if report.tables == ("flight",))

    @property
    def problems(self) -> list[str]:
        """What is not as it should be."""
        found = [str(report) for report in self.verdict.reports if not report.clean]
        if self.recovery.differences:
            found.append(f"{self.recovery.differences:,} rows of the rebuilt table differ from the plain one")
        if self.events != self.changes:
            found.append(f"{self.changes:,} changes made {self.events:,} events")
        totals = PUBLIC_TOTALS.get(self.days, (self.flights, self.never_left))
        if (self.flights, self.never_left) != totals:
            found.append(
                f"{self.flights:,} flights, {self.never_left:,} without a departure time: the public data has "
                f"{totals[0]:,} and {totals[1]:,}"
            )
        return found
