"""A finding says what broke, where, why, what to do and whose it is; a score explains itself."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gameday.analysis.budget import spent
from gameday.analysis.findings import Broken, Learned, findings
from gameday.analysis.model import AlertSeen, BudgetSpent, Effect, Pattern, Return, SignalSeries, Window
from gameday.analysis.score import scores
from gameday.analysis.series import Table
from gameday.spec.catalogue import Catalogue, default_directory

AT = datetime(2026, 11, 23, 10, 15, tzinfo=UTC)
PLATFORM = Catalogue(default_directory()).platform


def learned(**more: Any) -> Learned:
    return Learned("trial", "platform-team", **more)


def test_a_signal_that_broke_its_limit_breaks_the_hypothesis_and_belongs_to_its_owner() -> None:
    pattern = Pattern.model_validate(
        {
            "name": "cascading-failure",
            "sure": 0.9,
            "services": ["redis", "auth-service"],
            "began": AT,
            "evidence": ["calls to redis failed first"],
        }
    )
    broken = Broken("p95", "auth-service", "slow", 14.2, "s")
    first, second = findings(learned(broken=[broken], patterns=[pattern]), PLATFORM)
    assert first.breaks_hypothesis
    assert first.title == "p95 at auth-service reached 14.2 s"
    assert (first.owner, first.severity) == ("identity-team", "high")
    assert first.cause == "likely cascading failure: redis -> auth-service"
    assert "timeout" in first.action
    assert (second.service, second.owner) == ("redis", "data-team")


def test_the_same_weakness_has_the_same_key_again_whatever_its_figures_are() -> None:
    keys = {
        findings(learned(broken=[Broken("p95", "redis", "slow", value)]), PLATFORM)[0].key
        for value in (1.0, 2.0)
    }
    assert keys == {"trial/slow/broken/p95/redis"}


def test_a_pattern_of_two_stages_is_two_findings_that_can_be_told_apart() -> None:
    herd = {"name": "thundering-herd", "sure": 0.9, "services": ["postgres"], "began": AT, "evidence": ["e"]}
    patterns = [Pattern.model_validate(herd | {"stage": stage}) for stage in ("kill-cache", "split-cache")]
    found = findings(learned(patterns=patterns), PLATFORM)
    assert [(one.title, one.key) for one in found] == [
        ("Thundering herd in kill-cache: postgres", "trial/kill-cache/pattern/thundering-herd/postgres"),
        ("Thundering herd in split-cache: postgres", "trial/split-cache/pattern/thundering-herd/postgres"),
    ]


def test_an_alert_that_nobody_got_is_a_finding() -> None:
    missed = AlertSeen.model_validate(
        {"alert": "ServiceDown", "stage": "kill", "expected": True, "within": "2m"}
    )
    late = missed.model_copy(update={"fired_at": AT, "took": timedelta(minutes=3)})
    in_time = late.model_copy(update={"took": timedelta(minutes=1)})
    titles = [one.title for one in findings(learned(alerts=[missed, late, in_time]), PLATFORM)]
    assert titles == [
        "ServiceDown did not fire: nobody would have been told within 2m",
        "ServiceDown fired too late: nobody would have been told within 2m",
    ]


def test_what_did_not_come_back_or_was_not_shown_is_found() -> None:
    back = Return.model_validate({"stage": "kill", "service": "redis", "took": None})
    shown = {"stage": "kill", "name": "the breaker opens", "held": False, "evidence": "it stayed closed"}
    found = findings(learned(returns=[back], shown=[shown]), PLATFORM)
    assert {one.key for one in found} == {"trial/kill/not-back/redis", "trial/kill/shown/the breaker opens"}
    assert all(one.breaks_hypothesis for one in found)


def test_what_was_not_shown_belongs_to_the_service_that_did_not_show_it() -> None:
    shown = {"stage": "kill", "name": "retries-succeed", "held": False, "evidence": "at best 0"}
    (of_one,) = findings(learned(shown=[{**shown, "services": ["auth-service", "redis"]}]), PLATFORM)
    assert (of_one.service, of_one.owner) == ("auth-service", "identity-team")
    # A record that is older than these keys, or a query that speaks of no service.
    (of_none,) = findings(learned(shown=[shown]), PLATFORM)
    assert (of_none.service, of_none.owner) == ("", "platform-team")
    assert of_none.key == of_one.key, "the same item goes on"
    assert of_none.breaks_hypothesis


def test_a_healthy_run_finds_nothing() -> None:
    back = Return.model_validate({"stage": "kill", "service": "redis", "took": "2s"})
    assert findings(learned(returns=[back]), PLATFORM) == ()


def rates(signal: str, values: list[float]) -> SignalSeries:
    step = timedelta(seconds=10)
    return SignalSeries.model_validate(
        {"signal": signal, "service": "auth-service", "begin": AT, "step": step, "values": values}
    )


def test_the_error_budget_is_what_may_fail_at_the_usual_rate() -> None:
    before = Window.model_validate({"name": "before", "begin": AT, "end": AT + timedelta(seconds=100)})
    since = Window.model_validate(
        {"name": "since", "begin": before.end, "end": before.end + timedelta(seconds=100)}
    )
    table = Table([rates("requests", [10.0] * 20), rates("errors", [0.0] * 10 + [2.0] * 10)])
    (found,), missing = spent(table, PLATFORM, before, since)
    assert found.requests == pytest.approx(1000)
    assert found.failed == pytest.approx(200)
    # 10 requests/s for 30 days, of which one in a thousand may fail.
    assert found.spent == pytest.approx(200 / (10 * 30 * 86400 * 0.001))
    assert "error budget of api-gateway: no requests were counted before the faults" in missing


def effect(signal: str, before: float, during: float, worst: float) -> Effect:
    def few(median: float, most: float, least: float) -> dict[str, float]:
        return {"count": 10, "median": median, "p95": most, "least": least, "most": most}

    return Effect.model_validate(
        {
            "signal": signal,
            "service": "auth-service",
            "before": few(before, before, before),
            "during": few(during, max(during, worst), min(during, worst)),
        }
    )


def test_a_score_is_full_where_nothing_was_lost_and_says_why_where_it_is_not() -> None:
    budget = BudgetSpent.model_validate(
        {
            "service": "auth-service",
            "objective": 0.999,
            "period": "720h",
            "requests": 100,
            "failed": 0,
            "spent": 0,
        }
    )
    well = [effect("availability", 1, 1, 1), effect("p95", 0.1, 0.1, 0.1)]
    whole, service = scores(PLATFORM, well, [budget], [], timedelta(minutes=5))
    assert (whole.value, service.value) == (100, 100)
    ill = [effect("availability", 1, 0.5, 0), effect("p95", 0.1, 1.0, 1.0)]
    late = Return.model_validate({"stage": "kill", "service": "auth-service", "took": None})
    failing = budget.model_copy(update={"failed": 50.0})
    _, service = scores(PLATFORM, ill, [failing], [late], timedelta(minutes=5))
    assert [part.points for part in service.parts] == [7.5, 0, 0, 0]
    assert "not well again in time after kill" in service.parts[-1].why
    assert service.value == pytest.approx(7.5)


def test_answers_that_took_longer_than_can_be_measured_cost_all_points_for_speed() -> None:
    (_, service) = scores(PLATFORM, [effect("p95", 0.1, math.inf, math.inf)], [], [], timedelta(minutes=5))
    assert [(part.what, part.points) for part in service.parts] == [("fast", 0.0)]
    always = [effect("p95", math.inf, math.inf, math.inf)]
    assert scores(PLATFORM, always, [], [], timedelta(minutes=5)) == (), "nothing is slower than that"


def test_a_service_of_which_nothing_was_seen_has_no_score() -> None:
    assert scores(PLATFORM, [], [], [], timedelta(minutes=5)) == ()
