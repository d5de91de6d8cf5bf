"""How numbers are printed: three figures that mean something, never more."""

from __future__ import annotations

import math

from benchmarks.figures import Summary

__all__ = ["figure", "percent", "spread"]


def figure(value: float) -> str:
    """Write a number with three significant figures: ``0.0123``, ``1.23``, ``12.3``, ``123``, ``12,300``."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    magnitude = math.floor(math.log10(abs(value)))
    rounded = round(value, 2 - magnitude)
    return f"{rounded:,.{max(0, 2 - math.floor(math.log10(abs(rounded))))}f}"


def percent(value: float) -> str:
    """Write a change: ``+12 %``, ``−3 %``, ``0 %``."""
    rounded = round(value)
    sign = "+" if rounded > 0 else "−" if rounded < 0 else ""
    return f"{sign}{abs(rounded)} %"


def spread(summary: Summary) -> str:
    """Write the quartiles: ``12.1–12.9``."""
    return f"{figure(summary.low)}–{figure(summary.high)}"
