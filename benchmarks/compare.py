"""Two results side by side: what got better, what got worse, and what is noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.figures import Summary, ratio, summarise
from benchmarks.numbers import figure, percent
from benchmarks.records import Metric, Run, WorkloadResult

__all__ = ["Change", "changes", "table"]

ALIKE_PERCENT = 3.0
"""A median that moved by less is not worth a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One figure in two runs.

    Attributes:
        workload: its name.
        case: its label.
        subject: whose figure.
        metric: which.
        before: in the first run.
        after: in the second.
        ratio_before: to the baseline of the same run, where there is one.
        ratio_after: likewise. On two machines the ratios can be compared, the figures cannot.
    """

    workload: str
    case: str
    subject: str
    metric: Metric
    before: Summary
    after: Summary
    ratio_before: Summary | None
    ratio_after: Summary | None

    @property
    def worse_percent(self) -> float:
        """By how much the median got worse; below zero where it got better."""
        if self.before.median == 0:
            return 0.0
        grown = (self.after.median / self.before.median - 1) * 100
        return grown if self.metric.better == "lower" else -grown

    @property
    def verdict(self) -> str:
        """``better``, ``worse``, or ``alike`` where the middle halves of both overlap or hardly anything moved."""
        if abs(self.worse_percent) < ALIKE_PERCENT or self.before.overlaps(self.after):
            return "alike"
        return "worse" if self.worse_percent > 0 else "better"


def changes(before: Run, after: Run) -> list[Change]:
    """Pair every figure that both runs have."""
    return [change for workload in after.workloads for change in _of_workload(before, after, workload)]


def _of_workload(before: Run, after: Run, workload: WorkloadResult) -> Iterator[Change]:
    for case in workload.cases:
        for subject, outcome in case.outcomes.items():
            for name, samples in outcome.samples.items():
                place = (workload.name, case.label, subject, name)
                earlier = before.samples(*place)
                if earlier and samples:
                    yield Change(
                        workload=workload.name,
                        case=case.label,
                        subject=subject,
                        metric=workload.metric(name),
                        before=summarise(earlier),
                        after=summarise(samples),
                        ratio_before=_ratio(before, workload, case.label, subject, name),
                        ratio_after=_ratio(after, workload, case.label, subject, name),
                    )


def _ratio(run: Run, workload: WorkloadResult, case: str, subject: str, metric: str) -> Summary | None:
    if workload.baseline in {None, subject}:
        return None
    values = run.samples(workload.name, case, subject, metric)
    base = run.samples(workload.name, case, workload.baseline or "", metric)
    if not values or not base or len(values) != len(base) or 0 in base:
        return None
    return ratio(values, base)


def table(found: Sequence[Change]) -> str:
    """Write the changes as a Markdown table, ratios beside the figures."""
    if not found:
        return "The two results have no figure in common."
    lines = [
        "| workload | case | subject | figure | before | after | change | ÷ baseline | verdict |",
        "| --- | --- | --- | --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for change in found:
        ratios = ""
        if change.ratio_before is not None and change.ratio_after is not None:
            ratios = f"{figure(change.ratio_before.median)} → {figure(change.ratio_after.median)}"
        moved = (change.after.median / change.before.median - 1) * 100 if change.before.median else 0.0
        lines.append(
            f"| {change.workload} | {change.case} | {change.subject} | {change.metric.name}, {change.metric.unit} "
            f"| {figure(change.before.median)} | {figure(change.after.median)} | {percent(moved)} | {ratios} "
            f"| {change.verdict} |"
        )
    return "\n".join(lines)
