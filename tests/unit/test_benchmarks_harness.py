"""The benchmark's order of things: who works when, and what becomes of those who cannot."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, cast

import pytest

from benchmarks import cluster, crew, runner, worker
from benchmarks.station import WorkerFailed
from benchmarks.workload import Case, Metric, NotPossible, Place, Sample, Workload
from lithair_sqla.embedded import PostgresServer

CASE = Case(label="only", params={"rows": 3, "what": "insert"}, rounds=3, warmups=1)


class Toy(Workload):
    """Counts its own rounds."""

    name = "toy"
    title = "Toy"
    about = "Nothing."
    metrics = (Metric(name="milliseconds", unit="ms"),)
    subjects = ("plain", "ours", "continuum")
    baseline = "plain"
    cases = (CASE, Case(label="large", full_only=True))

    def prepare(self) -> None:
        if self.place.subject == "continuum":
            raise NotPossible("it cannot")
        self.rounds = 0

    def round(self) -> Sample:
        if self.place.subject == "ours" and self.rounds == 1:
            raise ValueError("broken")
        self.rounds += 1
        return {"milliseconds": float(self.rounds)}


class FakeStation:
    """A station without process or database, which writes down what it is asked."""

    log: ClassVar[list[str]] = []
    breaks_in: ClassVar[dict[str, Callable[[], Exception]]] = {}

    def __init__(self, _server: object, _kind: object, _case: object, subject: str) -> None:
        self.subject = subject
        self._rounds = 0

    def open(self) -> None:
        self.log.append(f"{self.subject} opens")

    def prepare(self) -> None:
        self._may_break("prepare")

    def round(self) -> dict[str, float]:
        self._may_break("round")
        self._rounds += 1
        self.log.append(self.subject)
        return {"milliseconds": float(self._rounds)}

    def check(self) -> None:
        self._may_break("check")

    def close(self) -> None:
        self.log.append(f"{self.subject} closes")

    def _may_break(self, step: str) -> None:
        if raised := self.breaks_in.get(f"{self.subject} {step}"):
            raise raised()


@pytest.fixture
def stations(monkeypatch: pytest.MonkeyPatch) -> type[FakeStation]:
    monkeypatch.setattr(FakeStation, "log", [])
    monkeypatch.setattr(FakeStation, "breaks_in", {})
    monkeypatch.setattr(runner, "Station", FakeStation)
    monkeypatch.setattr(runner, "workload", lambda _: Toy)
    return FakeStation


def measure(scale: runner.Scale = "short") -> Any:
    no_server = cast("PostgresServer", None)
    return runner._workload(no_server, Toy, scale, Toy.subjects, None)


def test_rounds_are_interleaved_and_everyone_comes_first_in_turn(stations: type[FakeStation]) -> None:
    measure()

    rounds = [name for name in stations.log if " " not in name]
    assert rounds == [
        *("plain", "ours", "continuum"),
        *("ours", "continuum", "plain"),
        *("continuum", "plain", "ours"),
        *("plain", "ours", "continuum"),
    ]


def test_warm_up_rounds_are_not_counted(stations: type[FakeStation]) -> None:
    (case,) = measure().cases

    assert case.outcomes["plain"].samples == {"milliseconds": [2.0, 3.0, 4.0]}


def test_the_short_run_leaves_out_what_is_for_the_full_one(stations: type[FakeStation]) -> None:
    assert [case.label for case in measure().cases] == ["only"]
    assert [case.label for case in measure("full").cases] == ["only", "large"]


@pytest.mark.parametrize("step", ["prepare", "round", "check"])
def test_a_subject_that_fails_is_reported_and_does_not_end_the_others(
    stations: type[FakeStation], step: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stations.breaks_in[f"ours {step}"] = lambda: WorkerFailed("Traceback …")

    (case,) = measure().cases

    assert case.outcomes["ours"].failed == "Traceback …"
    assert case.outcomes["ours"].samples == {}
    assert len(case.outcomes["continuum"].samples["milliseconds"]) == 3
    assert "ours failed" in capsys.readouterr().err


def test_a_subject_that_cannot_says_why(stations: type[FakeStation]) -> None:
    stations.breaks_in["continuum prepare"] = lambda: NotPossible("it cannot")

    (case,) = measure().cases

    assert case.outcomes["continuum"].skipped == "it cannot"


def test_every_station_is_closed_whatever_happens(stations: type[FakeStation]) -> None:
    stations.breaks_in["plain round"] = KeyboardInterrupt  # type: ignore[assignment]

    with pytest.raises(KeyboardInterrupt):
        measure()

    assert stations.log[-3:] == ["plain closes", "ours closes", "continuum closes"]


def test_an_interrupted_run_keeps_the_workloads_that_are_done(
    stations: type[FakeStation], monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def no_server() -> Iterator[None]:
        yield None

    def second_is_interrupted(name: str) -> type[Toy]:
        if name == "second":
            raise KeyboardInterrupt
        return Toy

    monkeypatch.setattr(cluster, "server", no_server)
    monkeypatch.setattr(cluster, "describe", lambda _: {"version": "18"})
    monkeypatch.setattr(runner, "workload", second_is_interrupted)

    found = runner.run(["toy", "second"], scale="short", subjects=Toy.subjects)

    assert found.interrupted
    assert [workload.name for workload in found.workloads] == ["toy"]


def answers_to(monkeypatch: pytest.MonkeyPatch, subject: str, *steps: str) -> list[dict[str, Any]]:
    """What a worker answers to ``open`` and the steps."""
    monkeypatch.setattr(worker, "workload", lambda _: Toy)
    opening = {"do": "open", "workload": "toy", "case": "only", "subject": subject, "url": "postgresql://x/y"}
    requests = [opening | {"member": 0, "members": 1}, *({"do": step} for step in steps)]
    out = io.StringIO()
    worker.serve(io.StringIO("".join(json.dumps(request) + "\n" for request in requests)), out)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_worker_answers_each_request_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    found = answers_to(monkeypatch, "plain", "prepare", "round", "round", "check")

    assert found == [
        {"done": None},
        {"done": None},
        {"done": {"milliseconds": 1.0}},
        {"done": {"milliseconds": 2.0}},
        {"done": None},
    ]


def test_a_worker_tells_an_error_in_full_and_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    *_, failed, checked = answers_to(monkeypatch, "ours", "prepare", "round", "round", "check")

    assert "ValueError: broken" in failed["failed"]
    assert checked == {"done": None}


def test_a_worker_tells_that_it_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    assert answers_to(monkeypatch, "continuum", "prepare")[-1] == {"skipped": "it cannot"}


def test_a_peers_process_does_not_import_our_library() -> None:
    """Our hooks stand on every Session of a process that imports us: a peer must not pay for them."""
    program = (
        "import sys, benchmarks.worker, benchmarks.subjects.plain, benchmarks.registry as registry\n"
        "for name in registry.WORKLOADS: registry.workload(name)\n"
        "sys.exit('lithair_sqla' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_writers_are_spread_over_the_processes() -> None:
    crews = [
        crew.Crew(Place(subject="ours", url=cast("Any", None), member=member, members=4), 10) for member in range(4)
    ]

    assert [own.writers for own in crews] == [3, 3, 2, 2]
    assert all(own.connections <= own.writers for own in crews)


def test_what_a_crew_did_is_put_together() -> None:
    samples: list[Sample] = [{"seconds": 2.0, "latencies": [1.0, 2.0]}, {"seconds": 1.0, "latencies": [3.0]}]

    found = crew.combine(samples, "appends_per_second")

    assert (found["appends_per_second"], found["p50"]) == (2.0, 2.0)


def test_a_cases_parameters_are_what_they_are_said_to_be() -> None:
    assert (CASE.number("rows"), CASE.text("what")) == (3, "insert")
    with pytest.raises(TypeError, match="not a whole number"):
        CASE.number("what")
    with pytest.raises(TypeError, match="not a text"):
        CASE.text("rows")
