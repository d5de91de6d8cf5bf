"""Medians, spreads and ratios: how many numbers become the few that are printed.

Medians, because one checkpoint or one busy neighbour must not decide a figure. Ratios are taken round by round, each
against the baseline's measurement of the same round, and then their median: what slows both does not show in it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

__all__ = ["Summary", "percentile", "ratio", "summarise"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A distribution in five numbers.

    Attributes:
        median: the middle measurement.
        low: the first quartile.
        high: the third quartile.
        least: the smallest.
        most: the largest.
        count: how many there were.
    """

    median: float
    low: float
    high: float
    least: float
    most: float
    count: int

    @property
    def spread(self) -> float:
        """The distance of the quartiles as a part of the median: 0.1 is ±5 %."""
        return (self.high - self.low) / abs(self.median) if self.median else math.inf

    def overlaps(self, other: Summary) -> bool:
        """Tell whether the middle halves of two distributions touch: then a difference of medians may be noise."""
        return self.low <= other.high and other.low <= self.high


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value that ``percent`` of the values do not exceed, between two neighbours by a straight line.

    Args:
        values: at least one, in any order.
        percent: 0 to 100.

    Raises:
        ValueError: there are no values, or the percentage is none.
    """
    if not values:
        raise ValueError("no values: a percentile needs at least one")
    if not 0 <= percent <= 100:
        raise ValueError(f"{percent} is not between 0 and 100")
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def summarise(values: Sequence[float]) -> Summary:
    """Reduce measurements to their five numbers.

    Raises:
        ValueError: there are none.
    """
    return Summary(
        median=median(values) if values else percentile(values, 50),
        low=percentile(values, 25),
        high=percentile(values, 75),
        least=min(values),
        most=max(values),
        count=len(values),
    )


def ratio(values: Sequence[float], baseline: Sequence[float]) -> Summary:
    """Divide measurements by the baseline's of the same rounds.

    Args:
        values: one a round.
        baseline: as many, none of them 0.

    Raises:
        ValueError: the rounds are not the same, or the baseline measured nothing.
    """
    if len(values) != len(baseline):
        raise ValueError(f"{len(values)} rounds cannot be paired with {len(baseline)}")
    if any(value == 0 for value in baseline):
        raise ValueError("a baseline of 0 makes no ratio")
    return summarise([value / base for value, base in zip(values, baseline, strict=True)])
