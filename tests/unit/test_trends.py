"""The numbers of reviews mean what docs/reference/metrics-of-reviews.md says, and tell no trend too soon."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from gameday.analysis.coverage import Growth, Kind, coverage, growth
from gameday.analysis.periods import Period, before, quarter, quarter_of, split
from gameday.analysis.trends import METRICS, MetricName, Value, trends, worked_out
from gameday.errors import UsageError
from gameday.journal.history import Hit, Recovery, RunRow
from gameday.journal.store import Verdict
from gameday.spec.catalogue import Catalogue
from tests.kept_runs import AT, a_row

PLATFORM = Catalogue().platform
DAY = timedelta(days=1)


def grown(rows: Sequence[RunRow] = (), now: datetime = AT + 365 * DAY) -> Growth:
    return growth(rows, PLATFORM, (), now)


def numbers(rows: Sequence[RunRow], period: Period | None = None) -> dict[MetricName, Value]:
    return worked_out(rows, period or quarter("2026Q4"), grown(rows))


def test_time_to_recovery_is_of_those_that_had_to_come_back_and_did() -> None:
    recoveries = (
        Recovery("kill", "redis", "back", 20.0),
        Recovery("kill", "api-gateway", "back", 40.0),
        Recovery("kill", "postgres", "not-back", None),
        Recovery("kill", "auth-service", "stayed", 0.0),
        Recovery("kill", "platform-services", "unseen", None),
    )
    value = numbers([a_row(recoveries=recoveries)])["mttr"]
    assert (value.value, value.count, value.note) == (30.0, 2, "1 not back in time")


def test_time_between_failures_is_the_hours_of_runs_for_each_failure() -> None:
    rows = [a_row(), a_row(verdict=Verdict.DISPROVED), a_row(verdict=Verdict.ABORTED), a_row()]
    assert numbers(rows)["mtbf"].value == 2.0
    without = numbers(rows[:1])["mtbf"]
    assert (without.value, without.note) == (None, "no failure in 1.0 h of runs")
    assert numbers([*rows, a_row(verdict=Verdict.ERROR)])["mtbf"].value == 2.0, "an error is no failure"


def test_availability_weighs_runs_by_their_samples() -> None:
    rows = [a_row(availability=1.0, samples=300), a_row(availability=0.6, samples=100), a_row()]
    assert numbers(rows)["availability"].value == pytest.approx(90.0)


def test_the_success_rate_is_of_runs_that_were_judged_and_says_how_sure_it_is() -> None:
    verdicts = [Verdict.HELD] * 3 + [Verdict.DISPROVED] + [Verdict.REFUSED, Verdict.STOPPED, Verdict.ERROR]
    value = numbers([a_row(verdict=one) for one in verdicts])["success-rate"]
    assert (value.value, value.note) == (75.0, "3 of 4")
    assert value.low is not None
    assert value.high is not None
    assert 25 < value.low < 35, "Wilson's interval for 3 of 4: 30 to 95"
    assert 94 < value.high < 97


def test_people_who_step_in_or_stop_a_run_are_counted() -> None:
    rows = [
        a_row(interventions=2),
        a_row(verdict=Verdict.STOPPED),
        a_row(),
        a_row(),
        a_row(verdict=Verdict.REFUSED),
    ]
    assert numbers(rows)["interventions"].value == 0.75


def test_without_runs_there_is_no_number() -> None:
    assert {one.value for one in numbers([]).values()} == {None}
    assert {one.value for one in numbers([a_row(verdict=None)]).values()} == {None}


KILL, DELAY = Hit("redis", "PodChaos", "pod-kill"), Hit("redis", "NetworkChaos", "delay")
ODD = Hit("redis", "TimeChaos", "")


def test_coverage_is_the_share_of_faults_met_by_the_end_of_each_period_counted_as_its_table() -> None:
    possible = len(coverage((), PLATFORM).cells)
    rows = [
        a_row(datetime(2026, 2, 10, tzinfo=UTC), hits=(KILL,)),
        a_row(datetime(2026, 2, 20, tzinfo=UTC), Verdict.DISPROVED, hits=(KILL, DELAY)),
        a_row(datetime(2026, 4, 5, tzinfo=UTC), hits=(ODD, Hit("", "PhysicalMachineChaos", ""))),
        a_row(datetime(2026, 4, 6, tzinfo=UTC), None, hits=(Hit("postgres", "PodChaos", "pod-kill"),)),
    ]
    whole = quarter("2026Q1").model_copy(update={"end": datetime(2026, 7, 1, tzinfo=UTC)})
    found = trends(rows, whole, "month", grown(rows, now=datetime(2026, 5, 2, tzinfo=UTC)))
    (trend,) = [one for one in found if one.metric == "coverage"]
    assert [one.value.note for one in trend.points] == [
        "",  # nothing was ever run
        f"2 of {possible}",
        f"2 of {possible}",  # no run in March: what was met stays met
        f"3 of {possible + 1}",  # what nobody thought of was tried, too
        f"3 of {possible + 1}",
        "",  # yet to come
    ]
    assert trend.points[1].value.value == pytest.approx(100 * 2 / possible)
    table = coverage(rows, PLATFORM)
    assert (len(table.met), len(table.cells)) == (3, possible + 1)
    assert table.cell("redis", Kind("TimeChaos")) is not None


def _monthly(took: Sequence[float], first: datetime = datetime(2026, 1, 10, tzinfo=UTC)) -> list[RunRow]:
    return [
        a_row(first + 31 * number * timedelta(days=1), recoveries=(Recovery("kill", "redis", "back", one),))
        for number, one in enumerate(took)
    ]


def test_a_trend_is_told_with_its_slope_and_one_odd_month_does_not_hide_it() -> None:
    rows = _monthly([60, 55, 50, 45, 300, 35, 30, 25])
    whole = quarter("2026Q1").model_copy(update={"end": datetime(2027, 1, 1, tzinfo=UTC)})
    trend = next(one for one in trends(rows, whole, "month", grown(rows)) if one.metric == "mttr")
    assert trend.direction == "better", trend.words
    assert trend.slope == pytest.approx(-5, abs=0.5)
    assert "gets better, by -5" in trend.words
    assert [one.period.label for one in trend.points][:2] == ["2026-01", "2026-02"]
    assert len(trend.points) == 12


def test_a_restless_number_has_no_trend_and_a_steady_one_neither() -> None:
    whole = quarter("2026Q1").model_copy(update={"end": datetime(2026, 9, 1, tzinfo=UTC)})
    for took, words in (([10, 40, 20, 35, 15, 30], "no trend can be told, by"), ([30] * 6, "stays the same")):
        trend = next(one for one in trends(_monthly(took), whole, "month", grown()) if one.metric == "mttr")
        assert (trend.direction, trend.words[: len(words)]) == ("none", words)


def test_too_few_runs_are_said_to_be_too_few() -> None:
    found = trends(_monthly([60, 40, 20]), quarter("2026Q1"), "month", grown())
    assert {one.metric for one in found} == set(METRICS)
    mttr = found[0]
    assert mttr.direction == "unknown"
    assert mttr.words == "too few runs to tell: 3 months with a value, at least 5 are needed"


def test_quarters_weeks_and_months_are_those_of_the_calendar() -> None:
    wanted = quarter("2026Q4")
    assert (wanted.begin, wanted.end) == (datetime(2026, 10, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    assert before(wanted).label == "2026Q3"
    assert before(quarter("2026q1")).label == "2025Q4"
    assert quarter_of(AT) == wanted
    assert [one.label for one in split(wanted.begin, wanted.end, "month")] == [
        "2026-10",
        "2026-11",
        "2026-12",
    ]
    weeks = split(wanted.begin, wanted.end, "week")
    assert (weeks[0].label, weeks[-1].label) == ("2026-W40", "2026-W53")
    assert all(one.end == other.begin for one, other in pairwise(weeks))


@pytest.mark.parametrize("text", ["", "2026", "2026Q5", "Q4", "26Q4", "0001Q1", "2026Q4 2027Q1"])
def test_what_is_no_quarter_is_told_in_one_message(text: str) -> None:
    with pytest.raises(UsageError, match="is no quarter") as caught:
        quarter(text)
    assert "2026Q4" in caught.value.hint
