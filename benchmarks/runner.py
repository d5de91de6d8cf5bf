"""The order of things: every case of every workload, its subjects' rounds interleaved."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Literal

from benchmarks import cluster, machine
from benchmarks.records import CaseResult, Outcome, Run, WorkloadResult
from benchmarks.registry import SUBJECTS, workload
from benchmarks.station import Station, WorkerFailed
from benchmarks.workload import Case, NotPossible, Workload
from lithair_sqla.embedded import PostgresServer

__all__ = ["Scale", "run"]

Scale = Literal["short", "full"]


def run(names: Iterable[str], *, scale: Scale, subjects: Collection[str], rounds: int | None = None) -> Run:
    """Run workloads on a server that is found or started for them; Ctrl-C ends it with those that are done.

    Args:
        names: of the workloads.
        scale: ``"short"`` leaves out the cases that are for the full run only.
        subjects: who may take part.
        rounds: at most so many for every case: to try the program, not to measure.
    """
    started_at = datetime.now(UTC)
    began = time.monotonic()
    results: list[WorkloadResult] = []
    interrupted = False
    with cluster.server() as server:
        described = cluster.describe(server)
        try:
            for name in names:
                results.append(_workload(server, workload(name), scale, subjects, rounds))  # noqa: PERF401 - see below
        except KeyboardInterrupt:
            interrupted = True  # the workloads that are done are kept
    return Run(
        started_at=started_at.isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - began, 1),
        scale=scale,
        machine=machine.describe(),
        server=described,
        packages=machine.packages(),
        subjects={name: SUBJECTS[name] for name in SUBJECTS if name in subjects},
        workloads=tuple(results),
        interrupted=interrupted,
    )


def _workload(
    server: PostgresServer, kind: type[Workload], scale: Scale, subjects: Collection[str], rounds: int | None
) -> WorkloadResult:
    cases = []
    for case in kind.cases:
        if case.full_only and scale == "short":
            continue
        taking_part = [name for name in case.subjects or kind.subjects if name in subjects]
        if taking_part:
            began = time.monotonic()
            cases.append(_case(server, kind, case, taking_part, min(case.rounds, rounds or case.rounds)))
            _say(f"{kind.name:<18} {case.label:<34} {time.monotonic() - began:6.1f} s")
    return WorkloadResult(
        name=kind.name,
        title=kind.title,
        about=kind.about,
        metrics=kind.metrics,
        baseline=kind.baseline,
        baseline_case=kind.baseline_case,
        cases=tuple(cases),
    )


def _case(server: PostgresServer, kind: type[Workload], case: Case, subjects: Sequence[str], rounds: int) -> CaseResult:
    outcomes: dict[str, Outcome] = {}
    samples: dict[str, list[dict[str, float]]] = {subject: [] for subject in subjects}
    with _stations(server, kind, case, subjects) as stations:
        at_work = [station for station in stations if _tried(station, outcomes, "prepare")]
        for number in range(case.warmups + rounds):
            # A B C, then B C A, …: no subject always comes after the same one.
            turn = number % len(at_work) if at_work else 0
            for station in (*at_work[turn:], *at_work[:turn]):
                sample = _round(station, outcomes)
                if sample is None:
                    at_work.remove(station)
                elif number >= case.warmups:
                    samples[station.subject].append(sample)
        for station in at_work:
            _tried(station, outcomes, "check")
    for subject in subjects:
        if subject not in outcomes:
            rows = samples[subject]
            outcomes[subject] = Outcome(samples={name: [row[name] for row in rows] for name in rows[0]})
    return CaseResult(
        label=case.label,
        params=dict(case.params),
        outcomes={subject: outcomes[subject] for subject in subjects},
    )


@contextmanager
def _stations(
    server: PostgresServer, kind: type[Workload], case: Case, subjects: Sequence[str]
) -> Iterator[list[Station]]:
    stations: list[Station] = []
    try:
        for subject in subjects:
            station = Station(server, kind, case, subject)
            stations.append(station)
            station.open()
        yield stations
    finally:
        for station in stations:
            station.close()


def _tried(station: Station, outcomes: dict[str, Outcome], step: Literal["prepare", "check"]) -> bool:
    try:
        if step == "prepare":
            station.prepare()
        else:
            station.check()
    except NotPossible as reason:
        outcomes[station.subject] = Outcome(skipped=str(reason))
    except WorkerFailed as error:
        outcomes[station.subject] = _failed(station, error)
    else:
        return True
    return False


def _round(station: Station, outcomes: dict[str, Outcome]) -> dict[str, float] | None:
    try:
        return station.round()
    except NotPossible as reason:
        outcomes[station.subject] = Outcome(skipped=str(reason))
    except WorkerFailed as error:
        outcomes[station.subject] = _failed(station, error)
    return None


def _failed(station: Station, error: WorkerFailed) -> Outcome:
    _say(f"! {station.subject} failed:\n{error}")
    return Outcome(failed=str(error))


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
