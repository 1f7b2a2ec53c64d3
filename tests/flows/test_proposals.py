"""A run may be proposed and approved ahead of its time; what was approved is exactly that, and expires."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gameday.clock import RemoteClock
from gameday.errors import ExitCode
from gameday.journal.approvals import Approvals
from gameday.journal.store import Journal
from gameday.settings import load
from sandbox.process.launch import Sandbox
from tests.flows.approving import (
    ASKER,
    approving,
    command,
    while_waiting,
)

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("in_prefect", "sandbox")]


async def proposed(capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    """Propose a run on staging, as the platform team."""
    capsys.readouterr()
    words = ("propose", "basic-pod-failure", "-e", "staging", "-d", "60s", "--by", ASKER, "-o", "json", *more)
    assert await command(*words) == ExitCode.HELD
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


async def state_of(capsys: pytest.CaptureFixture[str], name: str) -> str:
    """The state of a proposal, by the command."""
    capsys.readouterr()
    assert await command("proposals", "show", name, "-o", "json") == ExitCode.HELD
    return str(json.loads(capsys.readouterr().out)["state"])


async def rejecting(run: str) -> int:
    """Say no."""
    return await command("approve", run, "--reject", "--by", "data-team")


async def test_an_approved_proposal_lets_one_run_go_on_and_no_other(
    demanding: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    demanding("approval")
    proposal = await proposed(capsys, "--reason", "monthly")
    name = proposal["proposal"]
    assert proposal["state"] == "proposed"
    assert proposal["risk"]
    assert await approving(ASKER)(name) == ExitCode.REFUSED
    words = ("proposals", "approve", name, "--by", "data-team", "--confirm-checklist")
    assert await command(*words) == ExitCode.HELD
    assert await state_of(capsys, name) == "approved"
    # Another duration is another run.
    state, _ = await while_waiting(rejecting, duration="70s")
    assert state.name == "Refused"
    state, _ = await while_waiting()
    assert state.name == "Held", state.message
    async with Journal.open(load().database_url) as journal:
        used = await Approvals(journal).of(name)
        assert used is not None
        assert used.closing is not None
        events = await journal.events(used.closing.run or "")
    asked = [event.message for event in events if event.kind == "approval"]
    assert asked == [f"Approved ahead, by data-team: proposal {name}"]
    assert await state_of(capsys, name) == "used"
    state, _ = await while_waiting(rejecting)
    assert state.name == "Refused"


async def test_a_rule_that_came_after_a_proposal_was_approved_makes_it_worthless(
    demanding: Callable[..., None], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    demanding("approval")
    proposal = await proposed(capsys)
    assert await approving("data-team")(proposal["proposal"]) == ExitCode.HELD
    file = tmp_path / "experiments" / "guardrails.yaml"
    rule = "  - {service: api-gateway, faults: [pod-kill], environments: [staging]}"
    file.write_text(file.read_text().replace("protected:\n", f"protected:\n{rule}\n"))
    state, _ = await while_waiting(rejecting)
    assert state.name == "Refused"
    assert await state_of(capsys, proposal["proposal"]) == "approved"


async def test_a_proposal_is_worth_nothing_before_its_time_and_after_it(
    demanding: Callable[..., None], sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    demanding("approval", valid="2m")
    clock = RemoteClock(sandbox.env["GAMEDAY_CLOCK_URL"])
    at = (clock.now() + timedelta(minutes=1)).isoformat()
    proposal = await proposed(capsys, "--at", at)
    assert await approving("data-team")(proposal["proposal"]) == ExitCode.HELD
    state, _ = await while_waiting(rejecting)
    assert state.name == "Refused"
    await clock.sleep(timedelta(minutes=4))
    assert await state_of(capsys, proposal["proposal"]) == "expired"
    state, _ = await while_waiting(rejecting)
    assert state.name == "Refused"
    assert await approving("identity-team")(proposal["proposal"]) == ExitCode.USAGE


async def test_only_whoever_proposed_withdraws_and_anybody_rejects(
    demanding: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    demanding("approval")
    first, second = (await proposed(capsys))["proposal"], (await proposed(capsys))["proposal"]
    assert await command("proposals", "withdraw", first, "--by", "data-team") == ExitCode.REFUSED
    assert await command("proposals", "withdraw", first, "--by", ASKER) == ExitCode.HELD
    assert await command("proposals", "reject", second, "--by", "data-team") == ExitCode.HELD
    assert await state_of(capsys, first) == "withdrawn"
    assert await state_of(capsys, second) == "rejected"
    assert await approving("data-team")(first) == ExitCode.USAGE
    assert await command("proposals", "list") == ExitCode.HELD
    assert second in capsys.readouterr().out
