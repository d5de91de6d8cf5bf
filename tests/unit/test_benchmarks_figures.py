"""The benchmark's arithmetic: medians, spreads, ratios, and how numbers are printed."""

from __future__ import annotations

from statistics import median, quantiles

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.figures import percentile, ratio, summarise
from benchmarks.numbers import figure, percent, spread

MEASUREMENTS = st.lists(st.floats(min_value=0.001, max_value=1e6), min_size=2, max_size=50)


@given(MEASUREMENTS)
def test_percentiles_agree_with_the_standard_library(values: list[float]) -> None:
    expected = quantiles(values, n=4, method="inclusive")

    assert [percentile(values, percent) for percent in (25, 50, 75)] == pytest.approx(expected)


@given(MEASUREMENTS)
def test_a_summary_is_in_order(values: list[float]) -> None:
    found = summarise(values)

    assert found.least <= found.low <= found.median <= found.high <= found.most
    assert (found.median, found.count) == (median(values), len(values))


def test_a_percentile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        percentile([], 50)


def test_a_percentage_beyond_a_hundred_is_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 100"):
        percentile([1.0], 101)


def test_ratios_are_taken_round_by_round() -> None:
    """The second round was twice as slow for both: the ratio does not see it, a ratio of medians would."""
    assert ratio([3.0, 6.0, 3.3], [2.0, 4.0, 3.0]).median == 1.5


def test_rounds_of_two_lengths_make_no_ratio() -> None:
    with pytest.raises(ValueError, match="cannot be paired"):
        ratio([1.0, 2.0], [1.0])


def test_a_baseline_of_zero_makes_no_ratio() -> None:
    with pytest.raises(ValueError, match="baseline of 0"):
        ratio([1.0], [0.0])


def test_middle_halves_that_touch_overlap() -> None:
    low, high = summarise([1, 2, 3, 4, 5]), summarise([4, 5, 6, 7, 8])

    assert not low.overlaps(high)
    assert low.overlaps(summarise([2, 3, 4, 5, 6]))
    assert summarise([2, 3, 4, 5, 6]).overlaps(low)


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        (0, "0"),
        (0.01234, "0.0123"),
        (0.9996, "1.00"),
        (1.005, "1.00"),
        (12.34, "12.3"),
        (99.96, "100"),
        (123.4, "123"),
        (12_345.6, "12,300"),
        (-1.5, "-1.50"),
    ],
)
def test_a_figure_has_three_significant_digits(value: float, printed: str) -> None:
    assert figure(value) == printed


@pytest.mark.parametrize(("value", "printed"), [(12.4, "+12 %"), (-3.2, "−3 %"), (0.2, "0 %"), (-0.2, "0 %")])
def test_a_change_has_a_sign(value: float, printed: str) -> None:
    assert percent(value) == printed


def test_a_spread_is_the_quartiles() -> None:
    assert spread(summarise([1, 2, 3, 4, 5])) == "2.00–4.00"
