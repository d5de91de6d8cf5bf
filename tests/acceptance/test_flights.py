"""The main job on real data: what ``make demo`` runs, on a few days of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import psycopg
import pytest

from lithair_sqla import embedded

ROOT = Path(__file__).parents[2]
FLIGHTS = ROOT / "examples" / "flights.py"

# What the public files say of 2013's first days, counted with awk.
FLIGHTS_OF_DAYS = {2: (1_785, 12), 10: (8_832, 47)}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(FLIGHTS), *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=110)


@pytest.fixture(scope="module")
def outcomes(server: embedded.PostgresServer) -> dict[int, dict[str, Any]]:
    """The demo's own account of two runs, by days flown."""
    found = {}
    for days in FLIGHTS_OF_DAYS:
        ran = run("--days", str(days), "--json", "--dsn", server.dsn)
        assert ran.returncode == 0, ran.stderr
        found[days] = json.loads(ran.stdout)
    return found


@pytest.fixture(params=FLIGHTS_OF_DAYS)
def days(request: pytest.FixtureRequest) -> int:
    chosen: int = request.param
    return chosen


@pytest.fixture
def outcome(outcomes: dict[int, dict[str, Any]], days: int) -> dict[str, Any]:
    return outcomes[days]


def test_every_flight_of_the_public_data_is_there(outcome: dict[str, Any], days: int) -> None:
    assert (outcome["flights"], outcome["never_left"]) == FLIGHTS_OF_DAYS[days]


def test_every_change_is_an_event(outcome: dict[str, Any]) -> None:
    flights = next(report for report in outcome["verdict"]["reports"] if report["tables"] == ["flight"])

    assert flights["events"] == sum(rate["rows"] for rate in outcome["rates"])


def test_the_audit_is_clean(outcome: dict[str, Any]) -> None:
    assert outcome["verdict"]["clean"] is True


def test_a_lost_table_comes_back_as_it_was(outcome: dict[str, Any]) -> None:
    recovery = outcome["recovery"]

    assert "[LTH400]" in recovery["refusal"]
    assert recovery["lost"] == recovery["rebuilt"] == outcome["flights"]
    assert recovery["differences"] == 0


def test_histories_tell_who_did_what(outcome: dict[str, Any]) -> None:
    latest, cancelled = ([(e["version"], e["type"], e["actor"]) for e in s["events"]] for s in outcome["stories"])

    assert latest == [(1, "FlightScheduled", "schedule"), (2, "FlightDeparted", "tower"), (3, "FlightLanded", "tower")]
    # Plain SQL by another program: nobody but the database's user can be named.
    assert [(version, type_) for version, type_, _ in cancelled] == [(1, "FlightScheduled"), (2, "FlightCancelled")]
    assert cancelled[1][2] not in {"schedule", "tower"}


def test_the_fleet_of_a_past_moment_is_what_the_public_data_says(
    outcome: dict[str, Any], days: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(FLIGHTS.parent))
    records = import_module("nycflights.data").flights(days)
    fleet = outcome["fleet"]
    moment = datetime.fromisoformat(fleet["moment"])

    expected = Counter(phase for record in records if (phase := phase_of(record, moment)) is not None)

    assert {phase: number for phase, number in fleet["phases"].items() if phase != "waiting"} == expected
    assert sum(fleet["airborne"].values()) == expected["in the air"]


def phase_of(record: Any, moment: datetime) -> str | None:
    """Say from a line of the files alone what a flight was doing; None while it waits."""
    if record.departed_at is None:
        return "cancelled" if record.scheduled_departure < moment else None
    if record.departed_at >= moment:
        return None
    expected = record.departed_at + (record.scheduled_arrival - record.scheduled_departure)
    if (record.landed_at or expected) >= moment:
        return "in the air"
    return "diverted" if record.arrival_delay is None else "landed"


def test_memory_does_not_grow_with_the_flights(outcomes: dict[int, dict[str, Any]]) -> None:
    few, many = outcomes[2], outcomes[10]

    # Seven thousand flights more, twice over: kept as objects they would take some 30 MB.
    assert many["peak_memory_mb"] - few["peak_memory_mb"] < 8


def test_an_event_takes_the_room_it_is_said_to(outcome: dict[str, Any]) -> None:
    size = outcome["footprint"]

    assert size["log_bytes"] / size["events"] <= 450


@pytest.fixture(scope="module")
def screen(server: embedded.PostgresServer) -> str:
    ran = run("--days", "1", "--dsn", server.dsn)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_screen_shows_it_all_in_eighty_columns(screen: str) -> None:
    assert max(map(len, screen.splitlines())) <= 80
    for part in ("842 real flights", "× as long", "FlightCancelled", "in the air", "rebuild(engine, Flight)", "clean:"):
        assert part in screen


def test_the_demo_leaves_nothing_on_the_server(server: embedded.PostgresServer, screen: str) -> None:
    with psycopg.connect(server.conninfo) as connection:
        left = connection.execute("SELECT datname FROM pg_database WHERE datname LIKE 'lithair_flights%'").fetchall()

    assert left == []


def test_a_server_that_does_not_answer_is_an_error_in_a_line() -> None:
    ran = run("--days", "1", "--dsn", "postgresql://nobody@127.0.0.1:1/nothing?connect_timeout=2")

    assert ran.returncode == 2
    assert "[LTH600]" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("wrong", ["0", "366", "some"])
def test_a_number_of_days_that_2013_does_not_have_is_refused(wrong: str) -> None:
    ran = run("--days", wrong)

    assert ran.returncode == 2
    assert "1 to 365" in ran.stderr
