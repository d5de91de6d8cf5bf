"""What a workload is: one thing that is done by several subjects, in several sizes, and measured the same way.

A workload is one file of ``workloads/`` with one class. The program makes an object of it for each case and subject,
in a process of its own that works in a database of its own, calls ``prepare`` once, then ``round`` for the warm-up and
for each round that counts, then ``close``. What ``prepare`` does is never measured; ``round`` measures what it means
to measure, and returns numbers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from sqlalchemy import URL

from benchmarks.records import Metric, Parameter

__all__ = ["Case", "Metric", "NotPossible", "Place", "Sample", "Workload"]

Sample = Mapping[str, float | list[float]]
"""What one process measured in one round: numbers by the metrics' names, or raw latencies for ``combine``."""


class NotPossible(Exception):  # noqa: N818 - not an error: it says why a subject does not take part
    """This subject cannot do this here; the reason stands in the report instead of a figure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One size or shape of a workload.

    Attributes:
        label: how the report calls it.
        params: what the workload reads.
        full_only: left out of the short run.
        rounds: rounds that count, at least five where a median is made.
        warmups: rounds before them that do not.
        subjects: who takes part; ``None`` for all of the workload's.
    """

    label: str
    params: Mapping[str, Parameter] = field(default_factory=dict)
    full_only: bool = False
    rounds: int = 5
    warmups: int = 1
    subjects: tuple[str, ...] | None = None

    def number(self, name: str) -> int:
        """Return a parameter that is a whole number.

        Raises:
            TypeError: it is none.
        """
        value = self.params[name]
        if not isinstance(value, int):
            raise TypeError(f"case {self.label!r}: {name}={value!r} is not a whole number")
        return value

    def text(self, name: str) -> str:
        """Return a parameter that is a text.

        Raises:
            TypeError: it is none.
        """
        value = self.params[name]
        if not isinstance(value, str):
            raise TypeError(f"case {self.label!r}: {name}={value!r} is not a text")
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a workload's object works.

    Attributes:
        subject: who it works for.
        url: the subject's database, empty at first.
        member: number of this process among those that work together; 0 prepares the database, alone.
        members: how many there are.
    """

    subject: str
    url: URL
    member: int = 0
    members: int = 1

    @property
    def first(self) -> bool:
        """Whether this process makes the tables."""
        return self.member == 0


class Workload(ABC):
    """One thing to measure: see the module's text for its life.

    Attributes:
        name: the module's name.
        title: heading of its part of the report.
        about: what is measured and how, in a sentence or two.
        metrics: the first is the one that ratios are made of.
        subjects: who can do it.
        baseline: whom the others are compared with.
        baseline_case: the case that the others are compared with, where that is the question.
        cases: sizes and shapes.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    about: ClassVar[str]
    metrics: ClassVar[tuple[Metric, ...]]
    subjects: ClassVar[tuple[str, ...]]
    baseline: ClassVar[str | None] = None
    baseline_case: ClassVar[str | None] = None
    cases: ClassVar[tuple[Case, ...]]

    def __init__(self, place: Place, case: Case) -> None:
        self.place = place
        self.case = case

    @classmethod
    def members(cls, case: Case) -> int:  # noqa: ARG003 - the signature is what a workload overrides
        """Return how many processes of a subject work at once in a case."""
        return 1

    @classmethod
    def combine(cls, samples: Sequence[Sample]) -> dict[str, float]:
        """Make one round's numbers of what its processes measured."""
        (only,) = samples
        return {name: value for name, value in only.items() if not isinstance(value, list)}

    @abstractmethod
    def prepare(self) -> None:
        """Make what the rounds need.

        Raises:
            NotPossible: the subject cannot do this.
        """

    @abstractmethod
    def round(self) -> Sample:
        """Do the thing once (or often enough for the clock) and return what was measured."""

    def check(self) -> None:  # noqa: B027 - most workloads have something to check, none must
        """Prove that the subject did what it was measured at, after the last round.

        Raises:
            AssertionError: it did not, and its figures mean nothing.
        """

    def close(self) -> None:  # noqa: B027 - a workload may hold nothing
        """Let go of connections."""
