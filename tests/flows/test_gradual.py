"""The guide's gradual failure: it reaches a break that follows from the platform, and moves with it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.objects import State

from flows.run_experiment import run_experiment
from gameday.analysis.model import Analysis
from gameday.analysis.prediction import breaches_of
from gameday.journal.actions import Actions
from gameday.journal.results import Results
from gameday.journal.store import Journal
from gameday.run.gradual import KIND, Outcome, Result
from gameday.settings import load
from gameday.spec.catalogue import default_directory
from tests.conftest import StartSandbox
from tests.flows.conftest import live_faults

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("in_prefect")]


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the catalogue, which the run and the sandbox both read."""
    for path in default_directory().glob("*.yaml"):
        shutil.copy(path, tmp_path)
    monkeypatch.setenv("GAMEDAY_EXPERIMENTS", str(tmp_path))
    return tmp_path


async def carried_out(
    directory: Path, start_sandbox: StartSandbox, monkeypatch: pytest.MonkeyPatch
) -> tuple[State[Any], Result, list[str]]:
    """Run it: the state, the result, and what was told of each step."""
    for name, value in start_sandbox(platform=directory / "platform.yaml").env.items():
        monkeypatch.setenv(name, value)
    state: State[Any] = await run_experiment("gradual-failure", "staging", duration="6m", return_state=True)
    async with Journal.open(load().database_url) as journal:
        (record,) = await journal.latest()
        told = [event for event in await journal.events(record.run) if event.kind == KIND]
    return state, Result.model_validate(told[-1].data["result"]), [event.message for event in told[:-1]]


async def test_the_platform_as_declared_holds_what_is_promised_and_breaks_beyond_it(
    directory: Path, start_sandbox: StartSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, found, told = await carried_out(directory, start_sandbox, monkeypatch)
    strengths = [one.strength for one in found.steps]
    assert found.parameter == "delay.latency"
    assert found.promised
    assert found.broke is not None
    assert found.held == strengths[strengths.index(found.broke) - 1]
    assert "p95" in found.why
    assert {one.outcome for one in found.steps[strengths.index(found.broke) + 1 :]} <= {Outcome.NOT_TRIED}
    assert told == [
        f"Step {number} of 6, delay.latency {strength}: held"
        for number, strength in enumerate(strengths[: strengths.index(found.broke)], start=1)
    ]
    assert state.name == "Held"
    words = f"held up to {found.held}, broke at {found.broke}; the hypothesis speaks of up to 200ms"
    assert state.message == f"delay.latency {words}"
    async with Journal.open(load().database_url) as journal:
        (record,) = await journal.latest()
        said = [event.message for event in await journal.events(record.run) if event.kind == "message"]
    assert any(one.startswith(f"✗ Broke at delay.latency {found.broke}: p95") for one in said)
    assert not any("Disproved" in one for one in said)
    assert await live_faults() == []
    async with Journal.open(load().database_url) as journal:
        (record,) = await journal.latest()
        analysis = Analysis.model_validate(await Results(journal).analysis(record.run))
        items = await Actions(journal).items(run=record.run)
    assert breaches_of(analysis) == (), "the prediction of a run that held tells of no breach"
    beyond = [one for one in analysis.findings if "/beyond/p95/" in one.key]
    assert all(f"broke at {found.broke}, beyond the promise" in one.title for one in beyond)
    assert beyond
    assert not [one for one in items if "/beyond/" in one.key], "nobody owes what was not promised"


async def test_with_a_cold_cache_and_one_connection_a_pod_it_breaks_earlier_than_promised(
    directory: Path, start_sandbox: StartSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform = directory / "platform.yaml"
    text = platform.read_text(encoding="utf-8")
    text = re.sub("hitRatio: [0-9.]+", "hitRatio: 0.2", text)
    platform.write_text(text.replace("      routes:\n", "      pool: {size: 1}\n      routes:\n"), "utf-8")
    state, found, _ = await carried_out(directory, start_sandbox, monkeypatch)
    assert not found.promised
    assert found.broke in [one.strength for one in found.steps if one.must_hold]
    assert state.name == "Disproved"
    assert (state.message or "").startswith(str(found))
    async with Journal.open(load().database_url) as journal:
        (record,) = await journal.latest()
        analysis = Analysis.model_validate(await Results(journal).analysis(record.run))
        items = await Actions(journal).items(run=record.run)
    (broken,) = [one for one in analysis.findings if one.breaks_hypothesis and one.service == "api-gateway"]
    assert broken.key == "gradual-failure/slower-database/broken/p95/api-gateway"
    assert [one.owner for one in items if one.key == broken.key] == ["platform-team"]
    worse = {one.service for one in analysis.effects if one.signal == "p95" and one.change == "worse"}
    assert "api-gateway" in worse
