"""The product at work: 2013's flights out of New York, flown through ordinary SQLAlchemy models that keep a log.

    python examples/flights.py            January: 27,004 flights, half a minute
    python examples/flights.py --all      the year: 336,776 flights, a few minutes
    python examples/flights.py --days 3   a first look

Every flight is announced, departs and lands (or is diverted, or cancelled) in the order of the real events, through ORM
sessions; the same goes to a table without the mixin, for the difference. Then the log is asked, a table is lost and
rebuilt, and the audit has the last word. The parts are in ``nycflights/``; ``nycflights/models.py`` is the one to read.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING
from uuid import uuid4

import msgspec
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session

from lithair_sqla import LithairError, create_all, embedded
from nycflights import data, disaster, questions, screen
from nycflights.load import Load, load_reference_data
from nycflights.meter import meter
from nycflights.models import Base, Flight, PlainFlight
from nycflights.outcome import Outcome, Rate
from nycflights.timeline import Cancelled, Moved, Scheduled, timeline

if TYPE_CHECKING:
    from collections.abc import Sequence

_STEPS = {
    Scheduled: "announced: session.add_all",
    Moved: "left, landed: objects changed",
    Cancelled: "cancelled: plain SQL",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo and return its exit code: 0 when the audit is clean and the totals are the public ones."""
    options = _options(arguments)
    if options.dsn is not None:
        os.environ["LITHAIR_DSN"] = options.dsn
    try:
        with _database() as (engine, server):
            outcome = run(engine, server, 365 if options.all else options.days)
    except LithairError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        return 130
    if options.json:
        packed = msgspec.json.encode(outcome, enc_hook=str)  # SQLAlchemy's names of tables are strings of a kind
        sys.stdout.write(msgspec.json.format(packed, indent=2).decode() + "\n")
    else:
        screen.show(outcome)
    return 1 if outcome.problems else 0


def run(engine: Engine, server: str, days: int) -> Outcome:
    """Fly the first ``days`` days of 2013 and ask the log about them."""
    started = perf_counter()
    create_all(engine, Base)
    load_reference_data(engine)
    rates = _fly(engine, days)
    with Session(engine) as session:
        fleet = questions.fleet_at(session, data.noon_in_new_york(max(1, days // 2)))
        stories = questions.stories(session)
        footprint = questions.footprint(session.connection())
        never_left = questions.never_left(session)
    recovery = disaster.lose_and_rebuild(engine)
    return Outcome(
        server=server,
        days=days,
        flights=footprint.flights,
        never_left=never_left,
        rates=rates,
        stories=stories,
        fleet=fleet,
        footprint=footprint,
        recovery=recovery,
        verdict=disaster.audit_everything(engine),
        peak_memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        seconds=perf_counter() - started,
    )


def _fly(engine: Engine, days: int) -> list[Rate]:
    logged, plain = Load(engine, Flight), Load(engine, PlainFlight)
    flights = data.count_flights(days)
    settled = 0
    with meter("flying", flights) as report:
        for number, step in enumerate(timeline(data.flights(days))):
            # Turn about, so that neither always finds the other's pages warm.
            for load in (logged, plain) if number % 2 else (plain, logged):
                load.take(step)
            settled += step.settled
            report(settled)
    return [
        Rate(step=title, rows=logged.rows[step], seconds=logged.seconds[step], plain_seconds=plain.seconds[step])
        for step, title in _STEPS.items()
    ]


@contextmanager
def _database() -> Iterator[tuple[Engine, str]]:
    """Make a database of the demo's own, on the server that is named or on one that is started, and drop it again."""
    settings: dict[str, embedded.SettingValue] = {"shared_buffers": "256MB", "max_wal_size": "4GB"}
    with embedded.postgres(settings={} if os.environ.get("LITHAIR_DSN") else settings) as server:
        name = f"lithair_flights_{uuid4().hex[:8]}"
        engine = create_engine(server.create_database(name))
        try:
            yield engine, f"PostgreSQL {'.'.join(map(str, server.version))} ({server.source})"
        finally:
            engine.dispose()
            server.drop_database(name)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The product at work on the flights of 2013 out of New York.")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--all", action="store_true", help="the whole year: 336,776 flights")
    length.add_argument("--days", type=_days, default=31, metavar="N", help="the first N days (default: 31, January)")
    parser.add_argument("--dsn", help="use this server (a database is made there and dropped) instead of starting one")
    parser.add_argument("--json", action="store_true", help="print what was found out as JSON")
    return parser.parse_args(arguments)


def _days(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if not 1 <= number <= 365:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days, 1 to 365")
    return number


if __name__ == "__main__":
    sys.exit(main())
