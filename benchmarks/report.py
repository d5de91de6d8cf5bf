"""The report: what was measured, where the goals are met, and where we lose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks import picture, seed
from benchmarks.figures import Summary, ratio, summarise
from benchmarks.goals import Verdict, judge
from benchmarks.numbers import figure, spread
from benchmarks.records import CaseResult, Metric, Run, WorkloadResult

__all__ = ["losses", "markdown", "write"]

LIMITS = ("plain", "raw")
"""Subjects that keep no history: they are what ours is measured against, not peers that ours could beat."""


def write(run: Run, folder: Path) -> str:
    """Write ``results.md`` and ``results.svg`` and return the former's text."""
    folder.mkdir(parents=True, exist_ok=True)
    text = markdown(run)
    (folder / "results.md").write_text(text)
    (folder / "results.svg").write_text(picture.draw(run))
    return text


def markdown(run: Run) -> str:
    """Write the whole report."""
    parts = [
        "# Benchmark results",
        _introduction(run),
        "![The measurements as bars](results.svg)",
        "## Goals",
        _goals(judge(run)),
        "## Where we lose",
        "\n".join(f"- {line}" for line in losses(run)) or "In nothing that was measured.",
        "## The seed's table",
        seed.table(run),
        "## Machine",
        _facts(run.machine),
        "## Server",
        _facts(run.server),
        "## Versions",
        _facts(run.packages),
        "## Subjects",
        _facts(run.subjects),
        *(part for workload in run.workloads for part in _workload(workload)),
    ]
    return "\n\n".join(parts) + "\n"


def _introduction(run: Run) -> str:
    command = "make bench-full" if run.scale == "full" else "make bench"
    ended = " It was interrupted: not every workload is here." if run.interrupted else ""
    return (
        f"Measured {run.started_at} by `{command}` in {run.seconds:,.0f} seconds.{ended} Figures are medians, with the "
        "quartiles in brackets; `×` is the median of the rounds' ratios to the first column (for growth: to the first "
        "case). How they are taken, and what they mean: [performance](../../explanation/performance.md)."
    )


def _facts(facts: Mapping[str, str]) -> str:
    return "\n".join(["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in facts.items())])


def _goals(verdicts: list[Verdict]) -> str:
    lines = ["| figure | goal | measured | |", "| --- | ---: | ---: | --- |"]
    for verdict in verdicts:
        found = "" if verdict.measured is None else f"{figure(verdict.measured.median)} ({spread(verdict.measured)})"
        word = {True: "met", False: "**missed**", None: f"not measured: {verdict.reason}"}[verdict.met]
        lines.append(f"| {verdict.goal.figure} | {verdict.goal.text} | {found} | {word} |")
    return "\n".join(lines)


def losses(run: Run) -> list[str]:
    """Name every goal missed, and every case in which a peer's first figure was better than ours."""
    found = [
        f"goal missed: {verdict.goal.figure}: {figure(verdict.measured.median)}, wanted {verdict.goal.text}"
        for verdict in judge(run)
        if verdict.met is False and verdict.measured is not None
    ]
    for workload in run.workloads:
        for case in workload.cases:
            found.extend(_better_peers(workload, case))
    return found


def _better_peers(workload: WorkloadResult, case: CaseResult) -> Iterator[str]:
    metric = workload.metrics[0]
    ours = case.outcomes["ours"].samples.get(metric.name) if "ours" in case.outcomes else None
    if not ours:
        return
    mine = summarise(ours)
    for subject, outcome in case.outcomes.items():
        samples = outcome.samples.get(metric.name)
        if samples and subject not in LIMITS and not subject.startswith("ours"):
            theirs = summarise(samples)
            if _better(metric, theirs, mine):
                yield (
                    f"{workload.title}, {case.label}: {subject} {figure(theirs.median)} {metric.unit}, "
                    f"ours {figure(mine.median)} ({metric.name.replace('_', ' ')})"
                )


def _better(metric: Metric, one: Summary, other: Summary) -> bool:
    if one.overlaps(other):
        return False
    return one.median < other.median if metric.better == "lower" else one.median > other.median


def _workload(workload: WorkloadResult) -> Iterator[str]:
    subjects = list(dict.fromkeys(name for case in workload.cases for name in case.outcomes))
    if workload.baseline in subjects:
        subjects.remove(workload.baseline)
        subjects.insert(0, workload.baseline)
    yield f"## {workload.title}"
    yield workload.about
    yield "\n".join(
        [
            "| case | figure | " + " | ".join(subjects) + " |",
            "| --- | --- |" + " ---: |" * len(subjects),
            *(_line(workload, case, metric, subjects) for case in workload.cases for metric in workload.metrics),
        ]
    )
    notes = dict.fromkeys(
        f"{subject}: {outcome.skipped or 'failed: ' + (outcome.failed or '').strip().splitlines()[-1]}"
        for case in workload.cases
        for subject, outcome in case.outcomes.items()
        if outcome.skipped or outcome.failed
    )
    if notes:
        yield "\n".join(f"- {note}" for note in notes)


def _compared_with(workload: WorkloadResult, case: CaseResult, metric: Metric, subject: str) -> list[float] | None:
    """Return what a cell's ratio is taken to: another subject's measurements, or its own in another case."""
    if workload.baseline_case is not None and case.label != workload.baseline_case:
        base = workload.case(workload.baseline_case)
        outcome = base.outcomes.get(subject) if base is not None else None
    elif workload.baseline not in {None, subject}:
        outcome = case.outcomes.get(workload.baseline or "")
    else:
        outcome = None
    return outcome.samples.get(metric.name) if outcome is not None else None


def _line(workload: WorkloadResult, case: CaseResult, metric: Metric, subjects: list[str]) -> str:
    cells = []
    for subject in subjects:
        outcome = case.outcomes.get(subject)
        samples = outcome.samples.get(metric.name) if outcome is not None else None
        if not samples:
            cells.append("failed" if outcome is not None and outcome.failed else "–")
            continue
        found = summarise(samples)
        cell = f"{figure(found.median)} ({spread(found)})"
        against = _compared_with(workload, case, metric, subject)
        if against and len(against) == len(samples) and 0 not in against:
            cell += f" **{figure(ratio(samples, against).median)}×**"
        cells.append(cell)
    return f"| {case.label} | {metric.name.replace('_', ' ')}, {metric.unit} | " + " | ".join(cells) + " |"
