"""A gradual stage: which strengths there are, what its author must mend, and what the steps showed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from gameday.journal.store import Verdict
from gameday.plan.model import PlannedStage
from gameday.run.context import Recovered
from gameday.run.gradual import Outcome, Result, result
from gameday.run.observe import Halt
from gameday.run.verdict import draw
from gameday.spec.base import format_duration
from gameday.spec.experiment import Experiment, Recovery, Stage
from gameday.spec.gradual import Gradual

DELAY = {
    "target": "postgres",
    "kind": "NetworkChaos",
    "spec": {"action": "delay", "mode": "all", "delay": {"latency": "100ms", "jitter": "5ms"}},
}
STRESS = {
    "name": "burn",
    "target": "api-gateway",
    "kind": "StressChaos",
    "spec": {"mode": "one", "stressors": {"cpu": {"workers": 1, "load": 10}}},
}


def stage(gradual: dict[str, Any], *faults: dict[str, Any]) -> Stage:
    content = {"name": "slower", "duration": "1m", "settle": "30s", "gradual": gradual}
    return Stage.model_validate({**content, "faults": list(faults or (DELAY,))})


def told(gradual: dict[str, Any], *faults: dict[str, Any]) -> str:
    """What the author of such a stage is told."""
    with pytest.raises(ValidationError) as caught:
        stage(gradual, *faults)
    return "\n".join(
        f"{'.'.join(map(str, one['loc']))}: {one['msg'].removeprefix('Value error, ')}"
        for one in caught.value.errors()
    )


@pytest.mark.parametrize(
    ("given", "strengths"),
    [
        ({"from": "100ms", "to": "800ms", "factor": 2}, ("100ms", "200ms", "400ms", "800ms")),
        ({"from": "100ms", "to": "750ms", "factor": 2}, ("100ms", "200ms", "400ms")),
        ({"from": "100ms", "to": "0.4s", "step": "100ms"}, ("100ms", "200ms", "300ms", "400ms")),
        ({"from": "500ms", "to": "2s", "factor": 2}, ("500ms", "1000ms", "2000ms")),
        ({"from": "10", "to": "40", "step": "10"}, ("10", "20", "30", "40")),
        ({"from": "10%", "to": "50%", "step": 20}, ()),
        ({"from": "10%", "to": "50%", "step": "20%"}, ("10%", "30%", "50%")),
        ({"from": 1, "to": 4, "step": 1}, (1, 2, 3, 4)),
        ({"from": "8mbps", "to": "1mbps", "factor": 0.5}, ("8mbps", "4mbps", "2mbps", "1mbps")),
        ({"from": "1mbps", "to": "0.1mbps", "step": "0.3mbps"}, ("1mbps", "0.7mbps", "0.4mbps", "0.1mbps")),
        ({"values": ["5", "15", "40"]}, ("5", "15", "40")),
    ],
)
def test_a_list_or_a_range_is_tried_in_the_unit_that_it_is_written_in(
    given: dict[str, Any], strengths: tuple[Any, ...]
) -> None:
    if not strengths:
        with pytest.raises(ValidationError, match="in the unit of from, %"):
            Gradual.model_validate({"parameter": "x", **given})
        return
    assert Gradual.model_validate({"parameter": "x", **given}).strengths == strengths


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "give values, or from and to"),
        ({"values": ["1", "2"], "from": "1"}, "from: give either values or a range, not both"),
        ({"from": "1", "to": "2", "step": "1", "factor": 2}, "with either a step or a factor"),
        ({"from": "1", "to": "2"}, "with either a step or a factor"),
        ({"values": ["1"]}, "values: expected 2 to 50 values"),
        ({"values": ["1", "3", "2"]}, "values: must grow step by step"),
        ({"values": ["100ms", "0.1s"]}, "values: must grow step by step"),
        ({"values": ["low", "low"]}, "values: each must be given once"),
        ({"from": "1ms", "to": "10MB", "factor": 2}, "to: expected the unit of from, ms"),
        ({"from": "1m30s", "to": "3m", "factor": 2}, "from: expected a number with at most one unit"),
        ({"from": "1s", "to": "9s", "step": "0s"}, "step: expected a number above 0"),
        ({"from": "1s", "to": "9s", "factor": 0.5}, "factor: must be above 1 to come from 1s to 9s"),
        ({"from": "9s", "to": "1s", "factor": 2}, "factor: must be below 1 to come from 9s to 1s"),
        ({"from": "1ms", "to": "9s", "step": "1ms"}, "these are more than 50"),
        ({"from": "1ms", "to": "1ms", "step": "1ms"}, "these are 1"),
        ({"values": ["1s", "2s"], "holdsUpTo": "3s"}, "holdsUpTo: expected one of the strengths: 1s, 2s"),
        ({"values": [True, False]}, "expected a number, or text with a unit"),
    ],
)
def test_strengths_that_cannot_be_tried_one_after_the_other_are_told(
    given: dict[str, Any], words: str
) -> None:
    assert words in told({"parameter": "delay.latency", **given})


@pytest.mark.parametrize(
    ("parameter", "words"),
    [
        ("delay.latancy", "'latancy' is no key of delay; did you mean 'latency'?"),
        ("dellay.latency", "'dellay' is no key of the spec; did you mean 'delay'?"),
        ("loss.loss", "loss does not stand in the fault's spec; write it there with its first strength"),
        ("delay", "names several values; go on with one of: delay.latency"),
        ("action.x", "action is a single value; nothing stands below it"),
        ("externalTargets", "strength 1ms:"),
        ("delay.correlation", "strength 1ms: expected a percentage"),
        ("", "'' is no key of the spec"),
    ],
)
def test_a_parameter_that_the_fault_does_not_have_is_told_with_the_nearest(
    parameter: str, words: str
) -> None:
    said = told({"parameter": parameter, "values": ["1ms", "2ms"]})
    assert words in said
    assert said.startswith("gradual.")


def test_every_strength_must_be_one_that_chaos_mesh_would_take() -> None:
    said = told({"parameter": "stressors.cpu.load", "from": 50, "to": 150, "step": 50}, STRESS)
    assert "gradual.to: strength 150: expected less than or equal to 100" in said


def test_of_several_faults_the_one_that_grows_is_named() -> None:
    values = {"parameter": "stressors.cpu.load", "values": [10, 20]}
    assert "name the one that grows" in told(values, DELAY, STRESS)
    assert "no fault of the stage is called 'bern'; did you mean 'burn'?" in told(
        {**values, "fault": "bern"}, DELAY, STRESS
    )
    first, second = stage({**values, "fault": "burn"}, DELAY, STRESS).steps
    assert [step.faults[1].spec.model_dump()["stressors"]["cpu"]["load"] for step, _ in (first, second)] == [
        10,
        20,
    ]
    assert first[0].faults[0] == second[0].faults[0]


def experiment(*stages: dict[str, Any]) -> Experiment:
    probe = {"name": "p95", "signal": "p95", "expect": "<= 1"}
    return Experiment.model_validate(
        {
            "name": "trial",
            "title": "Trial",
            "hypothesis": "It holds.",
            "category": "basic",
            "environments": ["staging"],
            "owner": "platform-team",
            "steadyState": [probe],
            "stages": list(stages),
        }
    )


PLAIN = {"name": "plain", "duration": "1m", "faults": [DELAY]}
GROWS = {
    "name": "grows",
    "duration": "1m",
    "settle": "30s",
    "faults": [DELAY],
    "gradual": {"parameter": "delay.latency", "values": ["1s", "2s", "4s"], "holdsUpTo": "2000ms"},
}


def test_each_strength_is_a_stage_of_its_own_with_its_own_settling() -> None:
    trial = experiment(PLAIN, GROWS)
    assert [one.name for one, _ in trial.unfolded] == ["plain", "grows-1", "grows-2", "grows-3"]
    assert format_duration(trial.duration) == "5m30s"
    steps = [step for _, step in trial.unfolded if step is not None]
    assert [(str(step), step.must_hold) for step in steps] == [
        ("delay.latency 1s", True),
        ("delay.latency 2s", True),
        ("delay.latency 4s", False),
    ]


@pytest.mark.parametrize(
    ("stages", "words"),
    [
        ((GROWS, PLAIN), "only the last stage can be gradual"),
        (({**PLAIN, "name": "grows-2"}, GROWS), "a step of the gradual stage is called 'grows-2', too"),
        (({**GROWS, "name": "x" * 38},), "a gradual stage has at most 37 characters"),
    ],
)
def test_stages_that_could_not_be_told_apart_or_reached_are_refused(
    stages: tuple[dict[str, Any], ...], words: str
) -> None:
    with pytest.raises(ValidationError, match=words):
        experiment(*stages)


def planned() -> list[PlannedStage]:
    """The stages of such an experiment, as a plan has them."""
    return [
        PlannedStage.model_validate(
            {
                "name": stage.name,
                "title": stage.name,
                "starts": timedelta(0),
                "duration": stage.duration,
                "settle": stage.settle,
                "faults": (),
                "step": step,
            }
        )
        for stage, step in experiment(PLAIN, GROWS).unfolded
    ]


WELL = Recovered(in_time=True, took=timedelta(0))
ILL = Recovered(in_time=False, took=None, unmet=("p95 3 s: expected <= 1",))
BLIND = Recovered(in_time=False, took=None, unmet=("p95: unknown",), blind=True)
BROKEN = Halt(Verdict.DISPROVED, ("p95 3 s: outside <= 1",), by_signals=True)
ABORTED = Halt(Verdict.ABORTED, ("p95 12 s: the guardrail > 10",), by_signals=True)
STOPPED = Halt(Verdict.STOPPED, ("`gameday stop` called it off",))


def found(last: str, halt: Halt | None, recovered: Recovered = WELL) -> Result:
    seen = result(planned(), last, halt, recovered)
    assert seen is not None
    return seen


@pytest.mark.parametrize(
    ("last", "halt", "recovered", "words", "verdict"),
    [
        ("grows-3", None, WELL, "held up to 4s, the strongest that was tried", Verdict.HELD),
        ("grows-3", BROKEN, WELL, "held up to 2s, broke at 4s", Verdict.HELD),
        ("grows-3", BROKEN, ILL, "held up to 2s, broke at 4s", Verdict.DISPROVED),
        ("grows-2", BROKEN, WELL, "held up to 1s, broke at 2s", Verdict.DISPROVED),
        ("grows-1", BROKEN, WELL, "held at no strength, broke at 1s", Verdict.DISPROVED),
        ("grows-3", ABORTED, WELL, "held up to 2s, broke at 4s", Verdict.ABORTED),
        ("grows-2", STOPPED, WELL, "held up to 1s, not known at 2s", Verdict.STOPPED),
        ("grows-3", None, ILL, "held up to 2s, broke at 4s", Verdict.DISPROVED),
        ("grows-3", None, BLIND, "held up to 2s, not known at 4s", Verdict.ERROR),
    ],
)
def test_the_result_is_the_last_strength_that_held_and_the_first_that_broke(
    last: str, halt: Halt | None, recovered: Recovered, words: str, verdict: Verdict
) -> None:
    seen = found(last, halt, recovered)
    assert words in str(seen)
    given, reasons = draw(halt, recovered, (), Recovery(), seen)
    assert given is verdict
    assert reasons[0] == str(seen)


def test_a_break_beyond_the_promise_does_not_hide_a_fault_that_is_left() -> None:
    given, reasons = draw(BROKEN, WELL, ("x is still there",), Recovery(), found("grows-3", BROKEN))
    assert given is Verdict.ERROR
    assert "x is still there" in reasons


def test_what_was_not_tried_is_neither_held_nor_broken() -> None:
    outcomes = [one.outcome for one in found("grows-2", BROKEN).steps]
    assert outcomes == [Outcome.HELD, Outcome.BROKE, Outcome.NOT_TRIED]


def test_a_run_that_ends_before_its_gradual_stage_has_no_result_of_it() -> None:
    assert result(planned(), "plain", BROKEN, WELL) is None
