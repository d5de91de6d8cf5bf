"""What a flush costs, in counts that no busy machine can change: SQL statements and calls of Python functions.

The benchmark's workload ``counts`` is run for plain SQLAlchemy and for ours, each in a process of its own (in ours the
hooks stand on every Session, so a plain process must not import it), and the two are compared. A bound that is broken
means that a hook does more than it did: find out what, and whether it is worth it, before the bound is raised.
"""

from __future__ import annotations

from contextlib import closing

import pytest

from benchmarks.station import Station
from benchmarks.workload import Case
from benchmarks.workloads.counts import Counts
from lithair_sqla.embedded import PostgresServer

ROUNDS = 3
"""Statements are compiled and plans are cached in the first ones; the last one is compared."""

EXTRA_CALLS = {
    "1 new object": 150,  # 99 when it was written down
    "100 new objects": 180,  # 100: nothing for a row
    "1 changed object": 170,  # 109
    "100 changed objects": 260,  # 150: half a call for a row
}
"""Python calls that ours may add to the same commit of plain SQLAlchemy, by the case's label."""


@pytest.fixture(params=Counts.cases, ids=lambda case: case.label.replace(" ", "-"))
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


def last_of_a_few_commits(server: PostgresServer, case: Case, subject: str) -> dict[str, float]:
    with closing(Station(server, Counts, case, subject)) as station:
        station.open()
        station.prepare()
        return [station.round() for _ in range(ROUNDS)][-1]


def test_a_flush_sends_no_statement_more_and_hardly_calls_more(server: PostgresServer, case: Case) -> None:
    plain = last_of_a_few_commits(server, case, "plain")
    ours = last_of_a_few_commits(server, case, "ours")

    # A counter that saw nothing would allow everything.
    assert plain["statements"] == 1
    assert plain["python_calls"] > 50 * case.number("rows")
    assert ours["statements"] == plain["statements"]
    assert ours["python_calls"] - plain["python_calls"] <= EXTRA_CALLS[case.label]
