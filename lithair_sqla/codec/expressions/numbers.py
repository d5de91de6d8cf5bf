"""Arithmetic that is PostgreSQL's, digit for digit: sums and products exact, quotients cut off, halves rounded up."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Context, Decimal, Inexact, InvalidOperation, Overflow
from typing import Final

__all__ = ["DECIMALS", "absolute", "add", "multiply", "quotient", "remainder", "rounded", "subtract"]

DECIMALS: Final = 20
"""After so many decimals a quotient is cut off."""

_EXACT: Final = Context(prec=20_000, rounding=ROUND_HALF_UP, traps=[Inexact, Overflow, InvalidOperation])

add = _EXACT.add
subtract = _EXACT.subtract
multiply = _EXACT.multiply


def absolute(a: Decimal) -> Decimal:
    """Return the value without its sign."""
    return a.copy_abs()


def quotient(a: Decimal, b: Decimal) -> Decimal | None:
    """Divide and cut off after twenty decimals, as ``div()`` does."""
    if not b:
        return None
    (above, below), (by_above, by_below) = a.as_integer_ratio(), b.as_integer_ratio()
    dividend, divisor = above * by_below * 10**DECIMALS, below * by_above
    cut = abs(dividend) // abs(divisor)
    return Decimal(cut if (dividend < 0) is (divisor < 0) else -cut).scaleb(-DECIMALS, _EXACT)


def remainder(a: Decimal, b: Decimal) -> Decimal | None:
    """Return what a division to whole numbers leaves, with the sign of ``a``; nothing for zero."""
    return _EXACT.remainder(a, b) if b else None


def rounded(value: Decimal, places: int) -> Decimal:
    """Round to so many decimals, halves away from zero."""
    return value.quantize(
        Decimal(1).scaleb(-places), ROUND_HALF_UP, Context(prec=_EXACT.prec, traps=[InvalidOperation])
    )
