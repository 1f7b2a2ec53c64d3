"""A verdict follows from what was proved, and says what was not."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gameday.journal.store import Verdict
from gameday.run.context import Recovered
from gameday.run.observe import Halt
from gameday.run.verdict import draw
from gameday.spec.experiment import Recovery

WANTED = Recovery()
WELL = Recovered(in_time=True, took=timedelta(seconds=20))
ILL = Recovered(in_time=False, took=None, unmet=("p95 2 s at redis: expected <= 1",))
LEFT = ["PodChaos chaos-engineering/one is still there: no reason recorded"]


def test_held_is_said_where_everything_was_proved_and_came_back() -> None:
    assert draw(None, WELL, [], WANTED) == (Verdict.HELD, ())


def test_a_platform_that_does_not_come_back_disproves_the_hypothesis() -> None:
    verdict, reasons = draw(None, ILL, [], WANTED)
    assert verdict is Verdict.DISPROVED
    assert reasons == ("not recovered within 5m: p95 2 s at redis: expected <= 1",)


def test_a_recovery_that_could_not_be_seen_disproves_nothing() -> None:
    blind = Recovered(in_time=False, took=None, unmet=("p95: unknown (empty)",), blind=True)
    verdict, reasons = draw(None, blind, [], WANTED)
    assert verdict is Verdict.ERROR
    assert reasons == ("the recovery could not be seen: p95: unknown (empty)",)
    aborted = Halt(Verdict.ABORTED, ("p95: no data for 30s",))
    assert draw(aborted, blind, [], WANTED)[1] == (*aborted.reasons, *reasons)


def test_a_recovery_that_never_lasted_is_told_as_such() -> None:
    flapping = Recovered(in_time=False, took=None)
    assert draw(None, flapping, [], WANTED)[1] == (
        "not recovered within 5m: the steady state did not hold long enough",
    )


def test_a_fault_that_may_still_be_in_is_an_error_however_well_the_platform_is() -> None:
    assert draw(None, WELL, LEFT, WANTED) == (Verdict.ERROR, tuple(LEFT))
    verdict, reasons = draw(None, ILL, LEFT, WANTED)
    assert verdict is Verdict.ERROR
    assert reasons[0] == LEFT[0]
    assert "not recovered" in reasons[1]


@pytest.mark.parametrize("halted", [Verdict.ABORTED, Verdict.STOPPED, Verdict.DISPROVED])
def test_a_run_that_was_ended_early_keeps_that_verdict_and_tells_the_rest(halted: Verdict) -> None:
    halt = Halt(halted, ("availability 0.5 at redis: the guardrail < 0.6",))
    assert draw(halt, WELL, [], WANTED) == (halted, halt.reasons)
    verdict, reasons = draw(halt, ILL, LEFT, WANTED)
    assert verdict is halted
    assert reasons[0] == halt.reasons[0]
    assert "not recovered" in reasons[1]
    assert reasons[2] == LEFT[0]


def test_what_the_faults_had_to_show_and_did_not_disproves_the_hypothesis() -> None:
    missed = ["ServiceDown of redis did not fire within 1m"]
    assert draw(None, WELL, [], WANTED, missed=missed) == (Verdict.DISPROVED, tuple(missed))
    halted = Halt(Verdict.ABORTED, ("availability 0.5 at redis: the guardrail < 0.6",))
    assert draw(halted, WELL, [], WANTED, missed=missed) == (Verdict.ABORTED, (*halted.reasons, *missed))


def test_what_they_had_to_show_and_nobody_could_see_is_no_hypothesis_that_held() -> None:
    unseen = ["whether ServiceDown of redis would fire in time is not known: no answer"]
    assert draw(None, WELL, [], WANTED, unseen=unseen) == (Verdict.ERROR, tuple(unseen))
    verdict, reasons = draw(None, ILL, [], WANTED, unseen=unseen)
    assert verdict is Verdict.DISPROVED
    assert reasons[-1] == unseen[0]
