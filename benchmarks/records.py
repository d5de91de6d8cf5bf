"""What a run leaves behind: every measurement of every round, with the machine it was taken on.

The file holds measurements only. Medians, ratios and goals are worked out of it by whoever reads it, so a report can be
made anew from an old run, and two runs can be compared by a later version of this program.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

__all__ = ["CaseResult", "Metric", "Outcome", "Run", "WorkloadResult", "load", "save"]

FORMAT = 1
"""Grows when a reader of the old format would misread the new one."""

Parameter = int | float | str | bool


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One number that a round gives.

    Attributes:
        name: its key in the samples, such as ``"milliseconds"``.
        unit: how it is printed.
        better: which direction is.
    """

    name: str
    unit: str
    better: Literal["lower", "higher"] = "lower"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one subject did in one case.

    Attributes:
        samples: for each metric, one number a round; empty where it could not run.
        skipped: why it was not tried, such as a feature that is not built.
        failed: the error that ended it.
    """

    samples: dict[str, list[float]] = msgspec.field(default_factory=dict)
    skipped: str | None = None
    failed: str | None = None


class CaseResult(msgspec.Struct, frozen=True, kw_only=True):
    """One size or shape of a workload, with every subject's outcome."""

    label: str
    params: dict[str, Parameter]
    outcomes: dict[str, Outcome]


class WorkloadResult(msgspec.Struct, frozen=True, kw_only=True):
    """One workload as it was run.

    Attributes:
        name: its module's name.
        title: its heading.
        about: what is measured, in a sentence or two.
        metrics: the first is the one that ratios are made of.
        baseline: the subject that ratios are taken against.
        baseline_case: the case that ratios are taken against, in place of a subject.
        cases: in the order in which they ran.
    """

    name: str
    title: str
    about: str
    metrics: tuple[Metric, ...]
    baseline: str | None
    baseline_case: str | None = None
    cases: tuple[CaseResult, ...]

    def case(self, label: str) -> CaseResult | None:
        """Return the case of that label, if it ran."""
        return next((case for case in self.cases if case.label == label), None)

    def metric(self, name: str) -> Metric:
        """Return the metric of that name.

        Raises:
            KeyError: there is none.
        """
        for metric in self.metrics:
            if metric.name == name:
                return metric
        raise KeyError(name)


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the benchmark.

    Attributes:
        format: of the file.
        started_at: in UTC, ISO 8601.
        seconds: how long it took.
        scale: ``"short"`` or ``"full"``.
        machine: processor, cores, memory, system.
        server: PostgreSQL's version, where it came from, the settings that matter.
        packages: name → version of what took part.
        subjects: name → how it was set up.
        workloads: in the order in which they ran.
        interrupted: whether it was ended before all of them were done.
    """

    format: int = FORMAT
    started_at: str
    seconds: float
    scale: Literal["short", "full"]
    machine: dict[str, str]
    server: dict[str, str]
    packages: dict[str, str]
    subjects: dict[str, str]
    workloads: tuple[WorkloadResult, ...]
    interrupted: bool = False

    def workload(self, name: str) -> WorkloadResult | None:
        """Return the workload of that name, if it ran."""
        return next((workload for workload in self.workloads if workload.name == name), None)

    def samples(self, workload: str, case: str, subject: str, metric: str) -> list[float] | None:
        """Return a subject's measurements, or ``None`` where there are none."""
        found = self.workload(workload)
        result = found.case(case) if found is not None else None
        outcome = result.outcomes.get(subject) if result is not None else None
        return (outcome.samples.get(metric) or None) if outcome is not None else None

    @property
    def failures(self) -> Mapping[str, str]:
        """What ended with an error: ``"workload / case / subject"`` → the error."""
        return {
            f"{workload.name} / {case.label} / {subject}": outcome.failed
            for workload in self.workloads
            for case in workload.cases
            for subject, outcome in case.outcomes.items()
            if outcome.failed is not None
        }


def save(run: Run, path: Path) -> None:
    """Write a run as indented JSON, the folder with it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=1) + b"\n")


def load(path: Path) -> Run:
    """Read a run.

    Raises:
        ValueError: the file is no run, or of a format that this program does not know.
    """
    try:
        run = msgspec.json.decode(path.read_bytes(), type=Run)
    except msgspec.MsgspecError as error:
        raise ValueError(f"{path} is not a benchmark's result: {error}") from error
    if run.format != FORMAT:
        raise ValueError(f"{path} is of format {run.format}; this program reads format {FORMAT}")
    return run
