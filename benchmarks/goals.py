"""The goals that the design sets itself, each beside what was measured: met, missed, or not measured and why.

A goal is a bound on one figure of ours: a measurement, or its ratio to another subject's of the same rounds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmarks.figures import Summary, ratio, summarise
from benchmarks.records import Run

__all__ = ["GOALS", "Goal", "Verdict", "judge"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """One line of the table.

    Attributes:
        figure: what is bounded, in words.
        workload: where it is measured.
        case: label of the case.
        metric: its name there.
        over: the subject that ours is divided by; ``None`` takes the figure itself.
        bound: the number.
        way: which side of it is good.
        unit: of the figure; ``×`` for a ratio.
        subject: whose figure it is.
    """

    figure: str
    workload: str
    case: str
    metric: str
    bound: float
    way: Literal["at most", "at least"] = "at most"
    over: str | None = None
    unit: str = "×"
    subject: str = "ours"

    @property
    def text(self) -> str:
        """The goal as the table has it."""
        return f"{'≤' if self.way == 'at most' else '≥'} {self.bound:,g}{'' if self.unit == '×' else ' '}{self.unit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A goal and what was measured.

    Attributes:
        goal: the goal.
        measured: the figure; ``None`` where there is none.
        reason: why there is none.
    """

    goal: Goal
    measured: Summary | None
    reason: str | None = None

    @property
    def met(self) -> bool | None:
        """Whether the median keeps the bound; ``None`` where nothing was measured."""
        if self.measured is None:
            return None
        if self.goal.way == "at most":
            return self.measured.median <= self.goal.bound
        return self.measured.median >= self.goal.bound


def judge(run: Run) -> list[Verdict]:
    """Hold a run against every goal."""
    return [_judge(run, goal) for goal in GOALS]


def _judge(run: Run, goal: Goal) -> Verdict:
    ours = run.samples(goal.workload, goal.case, goal.subject, goal.metric)
    if ours is None:
        return Verdict(goal=goal, measured=None, reason=_reason(run, goal, goal.subject))
    if goal.over is None:
        return Verdict(goal=goal, measured=summarise(ours))
    theirs = run.samples(goal.workload, goal.case, goal.over, goal.metric)
    if theirs is None:
        return Verdict(goal=goal, measured=None, reason=_reason(run, goal, goal.over))
    return Verdict(goal=goal, measured=ratio(ours, theirs))


def _reason(run: Run, goal: Goal, subject: str) -> str:
    workload = run.workload(goal.workload)
    if workload is None:
        return f"workload {goal.workload} was not run"
    case = workload.case(goal.case)
    if case is None:
        return f"its case “{goal.case}” was not run"
    outcome = case.outcomes.get(subject)
    if outcome is None:
        return f"{subject} did not take part"
    if outcome.skipped is not None:
        return outcome.skipped
    return "it failed" if outcome.failed is not None else "no such figure"


GOALS: tuple[Goal, ...] = (
    Goal(
        figure="flush of 1,000 inserts ÷ plain flush + commit",
        workload="flush_insert",
        case="1,000 objects",
        metric="milliseconds",
        over="plain",
        bound=1.35,
    ),
    Goal(
        figure="flush of 1,000 updates ÷ plain",
        workload="flush_update",
        case="1,000 objects",
        metric="milliseconds",
        over="plain",
        bound=1.5,
    ),
    Goal(
        figure="one-object transaction, insert: p50 ÷ plain",
        workload="single_object",
        case="insert",
        metric="p50",
        over="plain",
        bound=1.1,
    ),
    Goal(
        figure="one-object transaction, update: p50 ÷ plain",
        workload="single_object",
        case="update",
        metric="p50",
        over="plain",
        bound=1.1,
    ),
    Goal(
        figure="bulk append ÷ raw COPY BINARY of the same rows, ten events a stream",
        workload="bulk_append",
        case="10 events a stream",
        metric="events_per_second",
        over="raw",
        bound=0.8,
        way="at least",
    ),
    Goal(
        figure="bulk append ÷ raw COPY BINARY of the same rows, one event a stream",
        workload="bulk_append",
        case="1 event a stream",
        metric="events_per_second",
        over="raw",
        bound=0.5,
        way="at least",
    ),
    Goal(
        figure="bulk append on one connection",
        workload="bulk_append",
        case="10 events a stream",
        metric="events_per_second",
        bound=50_000,
        way="at least",
        unit="events/s",
    ),
    Goal(
        figure="64 writers, one event a transaction: group commit ÷ plain appends",
        workload="writers",
        case="64 writers, any version",
        metric="appends_per_second",
        subject="ours_group_commit",
        over="ours",
        bound=4,
        way="at least",
    ),
    Goal(
        figure="64 writers, one event a transaction: group commit ÷ pyeventsourcing",
        workload="writers",
        case="64 writers, any version",
        metric="appends_per_second",
        subject="ours_group_commit",
        over="eventsourcing",
        bound=10,
        way="at least",
    ),
    Goal(
        figure="read and rebuild 1,000 events ÷ pyeventsourcing",
        workload="rebuild_object",
        case="1,000 events",
        metric="milliseconds",
        over="eventsourcing",
        bound=0.1,
    ),
    Goal(
        figure="newest snapshot + 10 events",
        workload="snapshot_tail",
        case="snapshot + 10 events",
        metric="milliseconds",
        bound=0.6,
        unit="ms",
    ),
    Goal(
        figure="by-key select at a past moment ÷ live",
        workload="past_key",
        case="10 events a row",
        metric="milliseconds",
        over="plain",
        bound=2.5,
    ),
    Goal(
        figure="rebuild of a table, one connection",
        workload="rebuild_table",
        case="3 events a row",
        metric="rows_per_second",
        bound=45_000,
        way="at least",
        unit="rows/s",
    ),
    Goal(
        figure="audit",
        workload="audit_table",
        case="3 events a row",
        metric="rows_per_second",
        bound=50_000,
        way="at least",
        unit="rows/s",
    ),
    Goal(
        figure="bytes an event on disk, 256 B of data",
        workload="event_size",
        case="256 B, 10 events a stream",
        metric="bytes_an_event",
        bound=450,
        unit="B",
    ),
    Goal(
        figure="horizon, idle",
        workload="horizon",
        case="idle",
        metric="p50",
        bound=0.3,
        unit="ms",
    ),
    Goal(
        figure="horizon, 1,000 open writers",
        workload="horizon",
        case="1,000 open writers",
        metric="p50",
        bound=1,
        unit="ms",
    ),
)
"""Section 13 of the design, figure by figure."""
