"""What is normal is measured, and what is unusual is told apart from what only wobbles."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gameday.analysis.baseline import Impact, by_key, impact, percentile, summarise

bounded = settings(derandomize=True, max_examples=150, deadline=None, database=None)


def test_a_window_is_summarised() -> None:
    found = summarise("p95", "redis", [float(n) for n in range(1, 101)])
    assert found is not None
    assert (found.signal, found.service, found.count) == ("p95", "redis", 100)
    assert found.mean == pytest.approx(50.5)
    assert (found.p50, found.p95, found.p99) == pytest.approx((50.5, 95.05, 99.01))
    assert found.spread == pytest.approx(29.011, abs=0.001)


def test_a_single_value_has_no_spread() -> None:
    found = summarise("p95", "redis", [2.0])
    assert found is not None
    assert (found.mean, found.p50, found.p99, found.spread) == (2.0, 2.0, 2.0, 0.0)


def test_what_is_no_number_is_left_out() -> None:
    found = summarise("p95", "redis", [math.nan, 1.0, math.inf, 3.0, -math.inf])
    assert found is not None
    assert (found.count, found.mean) == (2, 2.0)
    assert summarise("p95", "redis", [math.nan, math.inf]) is None
    assert summarise("p95", "redis", []) is None


@bounded
@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=30), st.floats(0, 1))
def test_a_percentile_lies_between_the_least_and_the_most(values: list[float], share: float) -> None:
    ordered = sorted(values)
    assert ordered[0] - 1e-3 <= percentile(ordered, share) <= ordered[-1] + 1e-3
    assert percentile(ordered, 0) == ordered[0]
    assert percentile(ordered, 1) == ordered[-1]


def seen(values: list[float], during: list[float], *, lower_is_worse: bool = False) -> Impact:
    return impact(
        "p95",
        "redis",
        unit="s",
        lower_is_worse=lower_is_worse,
        baseline=summarise("p95", "redis", values),
        during=during,
        after=[1.0, 1.1],
    )


def test_the_worst_is_the_highest_or_the_lowest_as_the_signal_has_it() -> None:
    assert seen([1, 2, 3], [2, 9, 3]).worst == 9
    assert seen([1, 2, 3], [2, 9, 1.5], lower_is_worse=True).worst == 1.5


def test_unusual_is_more_than_three_deviations_from_normal() -> None:
    # Mean 2, sample standard deviation 1.
    assert not seen([1, 2, 3], [5.0]).unusual
    assert seen([1, 2, 3], [5.001]).unusual
    assert not seen([1, 2, 3], [-1.0], lower_is_worse=True).unusual
    assert seen([1, 2, 3], [-1.001], lower_is_worse=True).unusual


def test_better_than_normal_is_not_unusual() -> None:
    assert not seen([1, 2, 3], [-50.0]).unusual
    assert not seen([1, 2, 3], [50.0], lower_is_worse=True).unusual


def test_a_flat_baseline_takes_a_thousandth_of_its_level_for_noise() -> None:
    assert not seen([1.0] * 10, [1.003]).unusual
    assert seen([1.0] * 10, [1.004]).unusual
    assert seen([0.0] * 10, [0.001]).unusual


def test_what_was_not_seen_is_not_made_up() -> None:
    found = impact("p95", "redis", unit="s", lower_is_worse=False, baseline=None, during=[], after=[])
    assert (found.before, found.worst, found.after, found.unusual) == (None, None, None, False)
    assert not seen([], [5.0]).unusual
    assert seen([1, 2, 3], []).worst is None


def test_before_is_the_mean_and_after_the_last() -> None:
    found = seen([1, 2, 3], [2])
    assert (found.before, found.after, found.unit) == (2.0, 1.1, "s")


def test_baselines_are_found_by_signal_and_service() -> None:
    one = summarise("p95", "redis", [1.0])
    assert one is not None
    assert by_key([one]) == {("p95", "redis"): one}
