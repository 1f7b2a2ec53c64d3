"""Whatever step of a run fails, and however, no fault is left and the journal says what happened.

Each step's own function is made to raise once, one after another; all the rest is real.
"""

from __future__ import annotations

import importlib
import signal
from typing import Any, NoReturn

import pytest
from prefect.exceptions import TerminationSignal

from flows.run_experiment import run_experiment
from gameday.journal.store import Journal, Verdict
from gameday.settings import load
from sandbox.process.launch import Sandbox
from tests.flows.conftest import live_faults

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("in_prefect")]

# Each with what is said of it: the verdict has been given by then, and stands.
AFTER_THE_VERDICT = {
    "gameday.run.analyse.gather": "The run was not analysed",
    "gameday.report.publish.write": "The report could not be made",
}

# What each task calls: the place where a step's own work begins.
STEPS = [
    "gameday.health.Examination.all",
    "tasks.approval.wanted",
    "gameday.run.inject.dry_run",
    "gameday.safety.lease.RunLeases.acquire",
    "gameday.run.notices.Announcer.announce",
    "gameday.run.baseline.measure",
    "gameday.run.inject.inject",
    "gameday.run.inject._prove_injected",
    "gameday.run.observe.Observer.watch",
    "gameday.run.inject.end",
    "gameday.run.recovery.validate",
    "gameday.run.recovery.prove_nothing_left",
    "gameday.run.verdict.draw",
    *AFTER_THE_VERDICT,
]


class BrokenStepError(Exception):
    """Something that nobody foresaw."""


def _owner(path: str) -> tuple[Any, str]:
    """The object that holds the function at ``path``, and the function's name in it."""
    parts = path.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        try:
            owner: Any = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for name in parts[cut:-1]:
            owner = getattr(owner, name)
        return owner, parts[-1]
    raise ValueError(path)


@pytest.mark.parametrize("step", STEPS)
async def test_a_step_that_breaks_leaves_no_fault(
    step: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> NoReturn:
        raise BrokenStepError(f"{step} broke")

    owner, name = _owner(step)
    monkeypatch.setattr(owner, name, broken)
    state: Any = await run_experiment("basic-pod-failure", "staging", duration="90s", return_state=True)
    assert await live_faults() == []
    async with Journal.open(load().database_url) as journal:
        record = (await journal.latest(1))[0]
        events = await journal.events(record.run)
    if step in AFTER_THE_VERDICT:
        assert (state.name, record.verdict) == ("Held", Verdict.HELD)
        warnings = [event.message for event in events if event.kind == "warning"]
        told = f"{AFTER_THE_VERDICT[step]}: BrokenStepError: {step} broke"
        assert any(told in one for one in warnings)
    else:
        assert state.is_failed() or state.is_crashed(), state
        assert record.verdict is Verdict.ERROR
        assert f"{step} broke" in (record.summary or "")
    assert any(event.kind == "verdict" for event in events)


async def test_whatever_an_engine_that_is_told_to_end_trips_over_the_run_was_stopped(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told_to_end(*_: object, **__: object) -> NoReturn:
        try:
            raise TerminationSignal(signal.SIGTERM)
        finally:
            raise ValueError("Task run is not set")

    owner, name = _owner("gameday.run.inject._prove_injected")
    monkeypatch.setattr(owner, name, told_to_end)
    await run_experiment("basic-pod-failure", "staging", duration="90s", return_state=True)
    assert await live_faults() == []
    async with Journal.open(load().database_url) as journal:
        (record,) = await journal.latest(1)
    assert (record.verdict, record.summary) == (Verdict.STOPPED, "cancelled, or the process was told to end")
