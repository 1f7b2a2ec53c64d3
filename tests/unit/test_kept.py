"""What a run broke is told from its record by the limit that was passed and by what was promised."""

from __future__ import annotations

from typing import Any

import pytest

from gameday.analysis.findings import Learned, findings
from gameday.analysis.model import Finding
from gameday.journal.store import Observation
from gameday.monitor.watch import Watch
from gameday.plan.model import PlannedStage
from gameday.run.kept import Kept
from tests.unit.test_report import CATALOGUE, RECORD, at, plan


def found(
    *values: float, state: str, stage: str = "slow", steps: tuple[Any, ...] = (), **limits: str
) -> Finding:
    """What is found where the P95 of the gateway had these values, all of them of this state."""
    watch = Watch.model_validate({"name": "p95", "query": "x", "unit": "s", **limits})
    seen = [
        Observation(at(5 * number), stage, "p95", "api-gateway", value, None, state)
        for number, value in enumerate(values)
    ]
    kept = Kept(RECORD, plan(watches=[watch], stages=steps), events=(), faults=(), observations=seen)
    (one,) = findings(Learned("trial", "platform-team", broken=kept.broken), CATALOGUE.platform)
    return one


def step(strength: str, *, promised: bool) -> PlannedStage:
    values = {"stage": "slower", "parameter": "delay.latency", "number": 5, "of": 6}
    return PlannedStage.model_validate(
        {"name": "slower-5", "title": "t", "starts": "0s", "duration": "60s", "settle": "60s", "faults": ()}
        | {"step": values | {"strength": strength, "mustHold": promised}}
    )


@pytest.mark.parametrize(
    ("state", "words"),
    [("over", "reached 1.26 s; the guardrail is > 0.5"), ("broken", "reached 1.26 s; tolerated is <= 3")],
)
def test_of_two_limits_the_one_that_was_passed_is_named(state: str, words: str) -> None:
    one = found(0.9, 1.26, state=state, tolerate="<= 3", abortWhen="> 0.5")
    assert one.title == f"p95 at api-gateway {words}"


def test_the_worst_is_the_farthest_beyond_the_limit_that_was_passed() -> None:
    assert "reached 1.26 s" in found(0.9, 1.26, state="over", tolerate=">= 0.1", abortWhen="> 0.5").title
    assert "reached 0.01 s" in found(0.05, 0.01, state="broken", tolerate=">= 0.1", abortWhen="> 0.5").title


def test_what_breaks_beyond_the_promise_is_learned_and_breaks_no_hypothesis() -> None:
    steps = (step("800ms", promised=False),)
    one = found(2.5, state="broken", stage="slower-5", steps=steps, tolerate="<= 1.5")
    assert one.title == (
        "p95 at api-gateway broke at 800ms, beyond the promise: it reached 2.5 s; tolerated is <= 1.5"
    )
    assert (one.severity, one.breaks_hypothesis, one.action) == ("low", False, "")
    later = found(2.5, state="broken", stage="after slower-5", steps=steps, tolerate="<= 1.5")
    assert later.key == one.key


def test_a_promise_that_is_broken_later_is_another_finding_and_a_grave_one() -> None:
    beyond = found(
        2.5, state="broken", stage="slower-5", steps=(step("800ms", promised=False),), tolerate="<= 1.5"
    )
    broken = found(
        2.5, state="broken", stage="slower-5", steps=(step("800ms", promised=True),), tolerate="<= 1.5"
    )
    assert (broken.severity, broken.breaks_hypothesis) == ("high", True)
    assert broken.key == "trial/slower/broken/p95/api-gateway"
    assert broken.key != beyond.key


def test_a_guardrail_is_grave_at_whatever_strength() -> None:
    steps = (step("800ms", promised=False),)
    one = found(12, state="over", stage="slower-5", steps=steps, tolerate="<= 1.5", abortWhen="> 10")
    assert (one.severity, one.breaks_hypothesis) == ("high", True)
    assert one.title.endswith("the guardrail is > 10")
