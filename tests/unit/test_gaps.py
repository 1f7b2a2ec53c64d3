"""What a service did while it could not be scraped is known by how much its counters grew meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gameday.analysis.gaps import bridged, have_gaps
from gameday.analysis.model import SignalSeries

AT = datetime(2026, 11, 23, 10, 15, tzinfo=UTC)
Values = list[float | None]


def series(values: Values) -> dict[str, SignalSeries]:
    step = timedelta(seconds=5)
    one = SignalSeries(signal="pool-waits", service="x", begin=AT, step=step, values=tuple(values))
    return {"x": one}


def filled(rate: Values, total: Values) -> Values:
    (found,) = bridged(series(rate), series(total))
    return list(found.values)


def test_a_gap_has_the_mean_rate_by_which_the_counter_grew() -> None:
    # 60 in the 15 s from the last value before the gap to the first after it.
    assert filled([0, None, None, 1], [100, None, None, 160]) == [0, 4, 4, 1]


def test_a_rate_outlives_its_counter_and_comes_back_later() -> None:
    # The counter was read at the first and at the fifth place: 80 in 20 s.
    assert filled([0, 0, None, None, None, 1], [100, None, None, None, 180, 185]) == [0, 0, 4, 4, 4, 1]


def test_a_counter_that_stood_still_says_that_nothing_happened() -> None:
    assert filled([0, None, 0], [7, None, 7]) == [0, 0, 0]


@pytest.mark.parametrize(
    ("rate", "total"),
    [
        ([0, None, 1], [100, None, 3]),
        ([0, None, 1], [None, None, 3]),
        ([0, None, 1], [3, None, None]),
        ([0, 1, None], [3, 4, None]),
        ([None, 1, 1], [None, 4, 9]),
    ],
    ids=["it began anew", "not read before", "not read after", "nothing came after", "nothing was before"],
)
def test_a_gap_stays_one_where_the_counter_cannot_tell(rate: Values, total: Values) -> None:
    assert filled(rate, total) == rate


def test_what_has_no_counter_stays_as_it_is() -> None:
    rates = series([0, None, 1])
    assert bridged(rates, {}) == list(rates.values())


def test_only_what_is_missing_between_values_is_a_gap() -> None:
    assert have_gaps(series([0, None, 1]))
    assert not have_gaps(series([None, 0, 1, None]))
    assert not have_gaps(series([]))
