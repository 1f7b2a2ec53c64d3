"""A failure pattern is told where the signals show it, with why, and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from gameday.analysis.model import Pattern, SignalSeries, Window
from gameday.analysis.patterns import find
from gameday.analysis.patterns.blind import unseen
from gameday.analysis.series import Table
from gameday.spec.catalogue import Catalogue, default_directory
from gameday.spec.platform import Measure

AT = datetime(2026, 11, 23, 10, 15, tzinfo=UTC)
STEP = timedelta(seconds=5)
PLATFORM = Catalogue(default_directory()).platform
BEFORE, DURING, AFTER = 24, 24, 18
COUNT = BEFORE + DURING + AFTER

Values = Sequence[float | None]


def place(name: str, begin: int, end: int) -> Window:
    return Window.model_validate({"name": name, "begin": AT + begin * STEP, "end": AT + end * STEP})


WINDOWS = (
    place("before", 0, BEFORE),
    place("during", BEFORE, BEFORE + DURING),
    place("after", BEFORE + DURING, COUNT),
    place("slow", BEFORE, BEFORE + DURING),
)


def steady(value: float, noise: float = 0.03) -> list[float | None]:
    chance = np.random.default_rng(round(value * 1000))
    return [float(value * (1 + noise * one)) for one in chance.uniform(-1, 1, COUNT)]


def rising(usual: float, to: float, first: int = 2, last: int = DURING) -> list[float | None]:
    values = steady(usual)
    values[BEFORE + first : BEFORE + last] = [to] * (last - first)
    return values


def usual() -> dict[tuple[Measure, str], Values]:
    """A platform on which nothing happens."""
    found: dict[tuple[Measure, str], Values] = {}
    for service, rate in {
        "api-gateway": 20.0,
        "auth-service": 20.0,
        "platform-services": 15.0,
        "automation-services": 3.0,
    }.items():
        found |= {
            ("requests", service): steady(rate),
            ("errors", service): steady(0.0),
            ("pool-waits", service): steady(0.0),
            ("pool-timeouts", service): steady(0.0),
            ("pool-use", service): steady(0.1),
            ("queue", service): steady(0.0),
            ("in-flight", service): steady(2.0),
            ("cache-misses", service): steady(0.1),
        }
    for service in (one.name for one in PLATFORM.services):
        found |= {
            ("call-failures", service): steady(0.0),
            ("retries", service): steady(0.0),
            ("breaker", service): steady(0.0),
            ("memory-peak", service): steady(0.3),
            ("cpu-peak", service): steady(0.1),
            ("ooms", service): steady(0.0),
        }
    return found | {("queries", "postgres"): steady(12.0), ("queries", "redis"): steady(35.0)}


def look(
    changes: Mapping[tuple[Measure, str], Values],
    hit: Sequence[str] = (),
    windows: Sequence[Window] = WINDOWS,
) -> dict[str, Pattern]:
    names = {one.measures: one.name for one in PLATFORM.prometheus.signals}
    series = [
        SignalSeries.model_validate(
            {"signal": names[measure], "service": service, "begin": AT, "step": STEP, "values": values}
        )
        for (measure, service), values in (usual() | dict(changes)).items()
    ]
    return {one.name: one for one in find(series, windows, PLATFORM, hit={"slow": hit})}


def down(service: str, caller: str, *, first: int = 2) -> dict[tuple[Measure, str], Values]:
    """What is seen where calls to ``service`` fail, and ``caller`` with them."""
    return {
        ("call-failures", service): rising(0.0, 12.0, first),
        ("errors", caller): rising(0.0, 9.0, first + 1),
    }


def holes(values: Values, every: int = 4) -> Values:
    return [None if number % every == 0 else value for number, value in enumerate(values)]


def test_where_nothing_happens_there_is_no_pattern() -> None:
    assert look({}) == {}
    assert look({}, hit=["auth-service"]) == {}
    assert find([], (), PLATFORM, hit={}) == ()
    assert find([], WINDOWS, PLATFORM, hit={"slow": ["redis"]}) == ()


def test_a_caller_that_fails_with_what_was_broken_is_a_cascade() -> None:
    found = look(down("auth-service", "api-gateway"), hit=["auth-service"])
    assert set(found) == {"cascading-failure"}
    one = found["cascading-failure"]
    assert one.services == ("auth-service", "api-gateway")
    assert (one.stage, one.sure >= 0.9) == ("slow", True)
    assert "% of its answers were errors (0% before), from 15s after injection" in (" ".join(one.evidence))


def test_a_cascade_is_told_in_the_order_in_which_it_went_through_the_platform() -> None:
    changes = down("postgres", "platform-services") | down("platform-services", "api-gateway", first=4)
    found = look(changes, hit=["postgres"])
    assert found["cascading-failure"].services == ("postgres", "platform-services", "api-gateway")


def test_a_cascade_may_begin_where_no_fault_was() -> None:
    changes = down("platform-services", "api-gateway", first=4)
    changes["errors", "platform-services"] = rising(0.0, 5.0, 3)
    assert look(changes)["cascading-failure"].services == ("platform-services", "api-gateway")
    found = look(changes, hit=["redis"])["cascading-failure"]
    assert found.services == ("redis", "platform-services", "api-gateway"), "what it needs was hit"


@pytest.mark.parametrize(
    ("changes", "hit"),
    [
        pytest.param(down("auth-service", "api-gateway"), ["auth-service", "api-gateway"], id="hit itself"),
        pytest.param({("errors", "api-gateway"): rising(0.0, 9.0)}, ["auth-service"], id="no call failed"),
        pytest.param(
            {("call-failures", "automation-services"): rising(0.0, 3.0)},
            ["automation-services"],
            id="fallback",
        ),
        pytest.param(
            {
                ("errors", "api-gateway"): rising(0.0, 9.0, 2),
                ("call-failures", "auth-service"): rising(0.0, 12.0, 14),
            },
            ["auth-service"],
            id="failed long before",
        ),
        pytest.param(down("auth-service", "platform-services"), ["auth-service"], id="does not call it"),
    ],
)
def test_harm_that_did_not_spread_by_calls_is_no_cascade(
    changes: dict[tuple[Measure, str], Values], hit: list[str]
) -> None:
    assert "cascading-failure" not in look(changes, hit=hit)


def test_a_pool_that_is_full_while_requests_wait_in_vain_is_exhausted() -> None:
    changes: dict[tuple[Measure, str], Values] = {
        ("pool-use", "platform-services"): rising(0.1, 1.0),
        ("pool-waits", "platform-services"): rising(0.0, 6.0),
        ("pool-timeouts", "platform-services"): rising(0.0, 3.0, 4),
    }
    found = look(changes, hit=["postgres"])
    assert set(found) == {"connection-pool-exhaustion"}
    one = found["connection-pool-exhaustion"]
    assert (one.services, one.sure >= 0.9) == (("platform-services",), True)
    assert one.began == AT + (BEFORE + 2) * STEP
    assert "waits/s in vain (0 before), from 20s after injection" in " ".join(one.evidence)


def test_a_pool_that_is_busy_or_was_always_short_is_no_news() -> None:
    busy: dict[tuple[Measure, str], Values] = {("pool-use", "platform-services"): rising(0.1, 1.0)}
    assert look(busy) == {}
    always: dict[tuple[Measure, str], Values] = {
        ("pool-use", "platform-services"): steady(1.0, 0),
        ("pool-waits", "platform-services"): steady(6.0),
    }
    assert look(always) == {}


@pytest.mark.parametrize(
    ("measure", "values", "words"),
    [
        (
            "memory-peak",
            rising(0.3, 0.98),
            "memory of its fullest container at 98% of its limit (30% before)",
        ),
        ("cpu-peak", rising(0.1, 1.0), "CPU of its busiest container at 100% of its limit"),
        ("ooms", rising(0.0, 0.02), "killed for want of memory"),
        ("queue", rising(0.0, 40.0), "up to 40 requests waited for one"),
    ],
)
@pytest.mark.parametrize("hit", [["platform-services"], ["postgres"]])
def test_a_resource_at_its_limit_is_exhausted_whether_a_fault_took_it_or_not(
    measure: Measure, values: Values, words: str, hit: list[str]
) -> None:
    found = look({(measure, "platform-services"): values}, hit=hit)
    assert set(found) == {"resource-exhaustion"}
    evidence = " ".join(found["resource-exhaustion"].evidence)
    assert words in evidence
    assert ("a fault of this stage acted on it directly" in evidence) == ("platform-services" in hit)


def test_a_resource_that_is_nearly_used_up_or_always_was_is_no_pattern() -> None:
    assert look({("memory-peak", "redis"): rising(0.3, 0.8)}) == {}
    assert look({("cpu-peak", "redis"): steady(0.99, 0.01)}) == {}


def test_calls_repeated_without_a_budget_are_a_herd() -> None:
    found = look({("retries", "auth-service"): rising(0.0, 30.0)}, hit=["auth-service"])
    assert set(found) == {"thundering-herd"}
    assert found["thundering-herd"].services == ("auth-service",)
    assert "calls/s to it were repeats, beside 20" in found["thundering-herd"].evidence[0]


def test_what_the_cache_lost_runs_over_the_database() -> None:
    changes: dict[tuple[Measure, str], Values] = {
        ("queries", "postgres"): rising(12.0, 45.0),
        ("cache-misses", "auth-service"): rising(0.1, 0.9),
    }
    found = look(changes, hit=["redis"])
    assert set(found) == {"thundering-herd"}
    assert found["thundering-herd"].services == ("postgres",)
    assert "the cache left up to 90% of its look-ups unanswered" in found["thundering-herd"].evidence[0]


def test_requests_that_were_held_back_and_come_all_at_once_are_a_herd() -> None:
    rush = steady(15.0)
    rush[BEFORE + DURING : BEFORE + DURING + 6] = [40.0] * 6
    assert set(look({("requests", "platform-services"): rush}, hit=["auth-service"])) == {"thundering-herd"}


def test_retries_within_a_budget_and_more_users_are_no_herd() -> None:
    assert look({("retries", "auth-service"): rising(0.0, 4.0)}, hit=["auth-service"]) == {}
    many: dict[tuple[Measure, str], Values] = {
        ("requests", one.name): rising(20.0, 60.0) for one in PLATFORM.services if one.calls
    }
    many |= {("queries", "postgres"): rising(12.0, 36.0), ("queries", "redis"): rising(35.0, 105.0)}
    assert look(many) == {}


def test_gaps_in_the_data_hide_no_pattern_and_make_none() -> None:
    changes = {key: holes(values) for key, values in down("auth-service", "api-gateway").items()}
    assert set(look(changes, hit=["auth-service"])) == {"cascading-failure"}
    assert look({key: holes(values) for key, values in usual().items()}) == {}


def test_a_single_value_far_out_is_noise() -> None:
    outlier = steady(0.0)
    outlier[BEFORE + 5] = 30.0
    for measure in ("errors", "pool-waits", "queue"):
        assert look({(measure, "platform-services"): outlier}, hit=["postgres"]) == {}
    assert look({("retries", "auth-service"): outlier}, hit=["auth-service"]) == {}


def test_a_pattern_belongs_to_the_stage_in_which_it_began() -> None:
    windows = (*WINDOWS[:3], place("slow", BEFORE, BEFORE + 8), place("later", BEFORE + 12, BEFORE + DURING))
    changes: dict[tuple[Measure, str], Values] = {("cpu-peak", "redis"): rising(0.1, 1.0)}
    assert look(changes, windows=windows)["resource-exhaustion"].stage == "slow"
    changes = {("cpu-peak", "redis"): rising(0.1, 1.0, 14)}
    assert look(changes, windows=windows)["resource-exhaustion"].stage == "later"


def test_nothing_is_said_of_what_had_no_normal() -> None:
    late: Values = [None] * BEFORE + [1.0] * (COUNT - BEFORE)
    assert look({("cpu-peak", "redis"): late}) == {}


def test_what_was_counted_first_during_the_fault_was_nothing_before() -> None:
    changes = {
        key: [None if number < BEFORE + 2 else value for number, value in enumerate(values)]
        for key, values in down("auth-service", "api-gateway").items()
    }
    assert set(look(changes, hit=["auth-service"])) == {"cascading-failure"}


def test_a_service_that_could_not_be_scraped_is_said_not_to_have_been_seen() -> None:
    platform = Catalogue(default_directory()).platform
    begin = datetime(2026, 11, 23, 10, 15, tzinfo=UTC)
    step = timedelta(seconds=5)
    stage = Window.model_validate({"name": "slow", "begin": begin, "end": begin + 12 * step})

    def seen(service: str, values: list[float | None]) -> SignalSeries:
        return SignalSeries.model_validate(
            {"signal": "requests", "service": service, "begin": begin, "step": step, "values": values}
        )

    table = Table([seen("auth-service", [5.0, 5.0, *[None] * 10]), seen("api-gateway", [9.0] * 12)])
    assert unseen(table, platform, [stage]) == (
        "patterns of auth-service in slow: most of it could not be scraped",
    )
