"""Why: what a spec's text means, and what a breaker or a task does, is easier shown without a platform."""

from __future__ import annotations

import random
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from gameday.spec.twin import Breaker, Route, Step, Work
from sandbox.twin.chance import lognormal
from sandbox.twin.effects import Effects, Fault, effects_of
from sandbox.twin.kernel import TIMEOUT, Kernel, Outcome, Reply, Wait
from sandbox.twin.network import Rule, rule_of
from sandbox.twin.quantities import bytes_per_second, mebibytes, seconds, share
from sandbox.twin.resilience import CLOSED, HALF_OPEN, OPENED, CircuitBreaker, RetryBudget
from sandbox.wiring import Injection, PodRef
from sandbox.world import World

POD = PodRef("ns", "a-0", "a")


@pytest.mark.parametrize(
    ("text", "expected"), [("500ms", 0.5), ("-10m", -600.0), ("1h30m", 5400.0), ("", 0.0), ("soon", 0.0)]
)
def test_durations_are_gos(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("512MB", 512.0), ("1GiB", 1024.0), ("256Mi", 256.0), ("50%", 100.0), ("lots", 0.0)],
)
def test_sizes_may_be_a_share_of_the_limit(text: str, expected: float) -> None:
    assert mebibytes(text, 200.0) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("1mbps", 1e6), ("8mbit", 1e6), ("100kbit", 12500.0), ("", 0.0)]
)
def test_rates_are_those_of_tc(text: str, expected: float) -> None:
    assert bytes_per_second(text) == expected


def test_percentages_stay_between_none_and_all() -> None:
    assert [share(text) for text in ("15", 25, "150", "-1", None, "many")] == [0.15, 0.25, 1.0, 0.0, 0.0, 0.0]


def test_service_times_have_the_declared_median_and_p95() -> None:
    work = Work(median=timedelta(milliseconds=10), p95=timedelta(milliseconds=40))
    draw = lognormal(work, random.Random(3))
    drawn = sorted(draw() for _ in range(4000))
    assert drawn[2000] == pytest.approx(0.010, rel=0.1)
    assert drawn[3800] == pytest.approx(0.040, rel=0.1)


def test_a_breaker_opens_on_failures_tries_again_and_closes_on_successes() -> None:
    breaker = CircuitBreaker(
        Breaker.model_validate({"window": 10, "failures": 0.5, "openFor": "10s", "trials": 2})
    )
    for failed in (False, False, False, True, True):
        breaker.note(0.0, failed=failed)
    assert breaker.state == CLOSED
    breaker.note(0.0, failed=True)
    assert (breaker.state, breaker.allows(9.9)) == (OPENED, False)
    assert (breaker.allows(10.0), breaker.state) == (True, HALF_OPEN)
    breaker.note(10.0, failed=True)
    assert breaker.state == OPENED
    assert breaker.allows(20.0)
    breaker.note(20.0, failed=False)
    breaker.note(20.0, failed=False)
    assert breaker.state == CLOSED


def test_a_retry_budget_is_a_share_of_the_calls() -> None:
    budget = RetryBudget(0.2)
    while budget.spend():
        pass
    for _ in range(12):
        budget.earn()
    assert [budget.spend() for _ in range(3)] == [True, True, False]


def test_a_reply_that_does_not_come_in_time_is_a_timeout_and_comes_too_late() -> None:
    world = World(seed=1, epoch=datetime(2026, 11, 23, tzinfo=UTC))
    kernel = Kernel(world)
    seen: list[tuple[float, Outcome]] = []

    def waiting(reply: Reply) -> Generator[Wait, Outcome, None]:
        yield 1.0
        kernel.expire(reply, 2.0)
        outcome = yield reply
        seen.append((world.elapsed, outcome))

    early, late = Reply(), Reply()
    kernel.spawn(waiting(early))
    kernel.spawn(waiting(late))
    kernel.later(1.5, lambda: early.resolve(200))
    kernel.later(4.0, lambda: late.resolve(200))
    world.advance_to(10)
    assert seen == [(1.5, 200), (3.0, TIMEOUT)]


def _effects(kind: str, spec: dict[str, Any]) -> Effects:
    fault = Fault(Injection("x", kind, spec, POD), random.Random(1))
    return effects_of([fault], port=80, disk="/data", memory_limit_mib=100.0)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"action": "latency", "delay": "1s"}, (True, True, 1.0, 1.0, False)),
        ({"action": "fault", "errno": 5, "percent": 10, "methods": ["read"]}, (True, False, 0.1, 0.0, True)),
        ({"action": "mistake", "methods": ["WRITE"]}, (False, True, 1.0, 0.0, True)),
        ({"action": "attrOverride", "attr": {"perm": 0o444}}, (False, True, 1.0, 0.0, True)),
        ({"action": "attrOverride", "attr": {"size": 0}}, (False, True, 1.0, 0.0, False)),
    ],
)
def test_io_chaos_says_which_accesses_suffer_how_often_and_how(
    spec: dict[str, Any], expected: tuple[bool, bool, float, float, bool]
) -> None:
    [fault] = _effects("IOChaos", {"volumePath": "/data", **spec}).disk
    assert (fault.reads, fault.writes, fault.chance, fault.delay, fault.fails) == expected


def test_stress_takes_its_share_of_the_cores_and_throttles_the_rest() -> None:
    effects = _effects("StressChaos", {"stressors": {"cpu": {"workers": 2, "load": 90}}})
    assert effects.stress_cores == 1.8
    assert effects.pace(1.0) == pytest.approx(2.8)
    assert effects.pace(4.0) == 1.0
    assert effects.throttled(1.0) == pytest.approx(0.5)
    assert effects.throttled(4.0) == 0.0


def test_netem_with_full_correlation_repeats_its_jitter() -> None:
    delay = {"latency": "500ms", "jitter": "100ms", "correlation": "100"}
    rule = Rule({"action": "delay", "delay": delay}, None, random.Random(2))
    drawn = {rule.pass_on(0.0, random.Random(seed)) for seed in range(5)}
    assert len(drawn) == 1
    assert 0.4 <= (drawn.pop() or 0.0) <= 0.6


def test_netem_takes_every_part_of_its_spec() -> None:
    spec = {"action": "netem", "delay": {"latency": "100ms"}, "loss": {"loss": "100"}}
    assert Rule(spec, None, random.Random(1)).pass_on(0.0, random.Random(1)) is None


@pytest.mark.parametrize(
    ("direction", "side", "carried"),
    [
        ("to", ".", True),
        ("to", ".Target", False),
        ("from", ".", False),
        ("from", ".Target", True),
        ("both", ".", True),
        ("both", ".Target", True),
    ],
)
def test_a_directions_netem_is_carried_by_the_pods_that_send(
    direction: str, side: str, carried: bool
) -> None:
    spec = {"action": "delay", "direction": direction, "delay": {"latency": "1s"}}
    injection = Injection("x", "NetworkChaos", spec, POD, side, (PodRef("ns", "b-0", "b"),))
    rule = rule_of(injection, random.Random(1))
    assert (rule is not None) == carried
    if rule is not None:
        assert rule.concerns(("ns", "b-0"))
        assert not rule.concerns(("ns", "c-0"))


@pytest.mark.parametrize(
    "step",
    [{}, {"cached": "session", "query": "read"}, {"call": "auth-service"}, {"query": "read", "path": "/x"}],
)
def test_a_step_is_exactly_one_thing(step: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Step.model_validate(step)


def test_service_times_must_be_in_order_and_routes_begin_with_a_slash() -> None:
    with pytest.raises(ValidationError, match="median <= p95"):
        Work.model_validate({"median": "5ms", "p95": "1ms"})
    with pytest.raises(ValidationError):
        Route.model_validate({"path": "records"})
