"""A rehearsal foretells a run without touching its cluster, and the run's report says how good that was."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from flows.run_experiment import run_experiment
from gameday.journal.history import History
from gameday.journal.store import Journal
from gameday.report.data import collect
from gameday.settings import load
from sandbox.process.launch import Sandbox
from tests.flows.conftest import live_faults
from tests.suites import small_catalogue

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("in_prefect")]


async def test_a_run_has_its_prediction_beside_what_happened(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sandbox.url
    small_catalogue(tmp_path)
    monkeypatch.setenv("GAMEDAY_EXPERIMENTS", str(tmp_path))
    asked = ["rehearse", "first", "--env", "staging", "-o", "json"]
    command = [sys.executable, "-m", "gameday.cli.main", *asked]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["verdict"], said["environment"], said["breaches"]) == ("held", "staging", [])
    assert "api-gateway: 3 replicas, as the cluster has" in said["twin"]
    async with Journal.open(load().database_url) as journal:
        assert await History(journal).rows() == [], "a rehearsal is no run"
    assert await live_faults() == []
    assert not load().reports_dir.exists()

    state = await run_experiment("first", "staging", return_state=True)
    assert state.name == "Held", state.message
    async with Journal.open(load().database_url) as journal:
        (row,) = await History(journal).rows()
        compared = (await collect(journal, row.run)).compared
    assert compared is not None
    assert compared.same_plan
    assert compared.breach_agrees
    assert "no signal has values enough" in compared.in_short, "ten seconds are too short"
    assert "## Foretold and happened" in (load().reports_dir / f"{row.run}.md").read_text(encoding="utf-8")
