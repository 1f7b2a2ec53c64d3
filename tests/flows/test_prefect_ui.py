"""A person's way through the Prefect UI, in a real browser: start by the form, approve, watch, cancel.

One run is enough for all of it: it waits for its checklist, is confirmed by the form, breaks something,
and is cancelled by the button. ``GAMEDAY_TEST_SCREENSHOTS`` names a directory that gets the pictures of
docs/images anew.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Locator, Page, async_playwright, expect
from prefect.client.orchestration import get_client
from prefect.client.schemas.sorting import FlowRunSort

from gameday.journal.approvals import Approvals, Outcome
from gameday.journal.store import Journal, Verdict
from gameday.settings import load
from gameday.spec.catalogue import default_directory
from sandbox.process.launch import Sandbox
from tests.conftest import StartSandbox
from tests.flows.conftest import Process, a_fault_is_in, live_faults, until

CHROMIUM = shutil.which("chromium")
PATIENCE_MS = 90_000

pytestmark = [
    pytest.mark.prefect,
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium"),
    pytest.mark.usefixtures("in_prefect"),
]


@pytest.fixture
def waiting_sandbox(start_sandbox: StartSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """A sandbox in real time, and a catalogue that demands the checklist in staging."""
    directory = tmp_path / "experiments"
    shutil.copytree(default_directory(), directory)
    rules = directory / "guardrails.yaml"
    demanded = "    staging: {low: checklist, medium: checklist, high: checklist}"
    rules.write_text(re.sub(r"    staging: \{low.*", demanded, rules.read_text()))
    monkeypatch.setenv("GAMEDAY_EXPERIMENTS", str(directory))
    sandbox = start_sandbox(mode="live", history=timedelta(minutes=6))
    for name, value in sandbox.env.items():
        monkeypatch.setenv(name, value)
    return sandbox


@dataclass(frozen=True)
class Ui:
    """Prefect's pages, by what a person reads on them."""

    page: Page
    address: str

    async def go(self, path: str) -> None:
        """Open a page."""
        await self.page.goto(f"{self.address}{path}")

    async def button(self, name: str, within: Locator | None = None) -> None:
        """Press the button that is called so."""
        await (within or self.page).get_by_role("button", name=name, exact=True).first.click()

    async def resume(self, dialog: Locator) -> None:
        """Submit the form of a paused run; again where Prefect's SQLite was busy, as a person would."""
        for _ in range(5):
            async with self.page.expect_response(re.compile(r"/resume$")) as answered:
                await self.button("Submit", dialog)
            status = (await answered.value).status
            if status != httpx.codes.SERVICE_UNAVAILABLE:
                break
        assert status == httpx.codes.CREATED

    async def start(self, form: Locator) -> None:
        """Submit the form of a run until it is taken: the page may not have heard the last key yet."""
        status = 0
        for _ in range(5):
            async with self.page.expect_response(re.compile(r"/create_flow_run$")) as answered:
                await self.button("Submit", form)
            status = (await answered.value).status
            if status == httpx.codes.CREATED:
                break
        assert status == httpx.codes.CREATED

    async def choose(self, field: Locator, option: str) -> None:
        """Open a select by the keyboard, and take ``option``."""
        await field.press("ArrowDown")
        await self.page.get_by_role("option", name=option, exact=True).click()

    async def picture(self, name: str) -> None:
        """Keep what a person sees, where pictures are wanted."""
        if directory := os.environ.get("GAMEDAY_TEST_SCREENSHOTS"):
            await self.page.screenshot(path=Path(directory) / f"{name}.png")


@pytest.fixture
async def ui(prefect_server: str) -> AsyncIterator[Ui]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = await browser.new_page(viewport={"width": 1000, "height": 900})
        page.set_default_timeout(PATIENCE_MS)
        yield Ui(page, prefect_server.removesuffix("/api"))
        await browser.close()


def field(form: Locator, name: str) -> Locator:
    """The row of the form whose label begins with ``name``."""
    label = f"xpath=.//label[starts-with(normalize-space(.), '{name}')]"
    return form.locator(f"{label}/ancestor::div[descendant::fieldset][1]")


async def flow_run(worker: Process) -> Any:
    """The flow run that the form has started."""

    async def newest() -> Any:
        async with get_client() as client:
            found = await client.read_flow_runs(sort=FlowRunSort.EXPECTED_START_TIME_DESC)
        return next(
            (one for one in found if one.deployment_id and one.parameters.get("reason") == REASON), None
        )

    return await until(newest, "a flow run", process=worker)


REASON = "whether logins survive a dead pod"


async def test_a_run_is_started_approved_watched_and_cancelled_in_the_ui(
    waiting_sandbox: Sandbox, worker: Process, ui: Ui
) -> None:
    async with get_client() as client:
        deployment = await client.read_deployment_by_name("run-by-hand/by-hand")
    await ui.go(f"/deployments/deployment/{deployment.id}/run")
    form = ui.page.locator("form")
    await expect(form.get_by_text("Why it is run now.")).to_be_visible(timeout=PATIENCE_MS)
    await ui.choose(field(form, "experiment").locator("button").last, "basic-pod-failure")
    await field(form, "reason").locator("textarea").fill(REASON)
    await field(form, "requested_by").locator("textarea").fill("ann")
    await field(form, "duration").locator("textarea").fill("ten minutes")
    await ui.button("Submit", form)
    await expect(ui.page.get_by_text("'ten minutes' does not match").first).to_be_visible(timeout=PATIENCE_MS)
    await ui.picture("prefect-form")
    await field(form, "duration").locator("textarea").fill("5m")
    await ui.start(form)

    started = await flow_run(worker)
    await ui.go(f"/runs/flow-run/{started.id}")
    await ui.button("Resume")
    dialog = ui.page.get_by_role("dialog")
    await field(dialog, "Your name").locator("textarea").fill("ann")
    await ui.choose(field(dialog, "Decision").locator("button").last, "approve")
    for switch in await dialog.get_by_role("switch").all():
        await switch.click()
    await ui.picture("prefect-approval")
    assert await live_faults() == []
    await ui.resume(dialog)

    await until(a_fault_is_in, "a fault that is in", process=worker)
    await ui.page.get_by_text("PodChaos pod-kill is in").first.wait_for()
    await ui.picture("prefect-run")
    await ui.go("/artifacts/key/run-watch")
    await ui.page.get_by_text("What is injected where").first.wait_for()
    await ui.go(f"/runs/flow-run/{started.id}")
    await ui.button("Cancel")
    await ui.button("Confirm", dialog)

    async def is_over() -> bool:
        async with get_client() as client:
            state = (await client.read_flow_run(started.id)).state
        return state is not None and state.is_cancelled()

    await until(is_over, "a cancelled run", process=worker)
    assert await live_faults() == []
    async with Journal.open(load().database_url) as journal:
        record = await journal.of_flow_run(str(started.id))
        assert record is not None
        asked = await Approvals(journal).of_subject(record.run)
    assert (record.verdict, record.requested_by, record.reason) == (Verdict.STOPPED, "ann", REASON)
    assert asked is not None
    assert asked.closing is not None
    assert asked.closing.outcome is Outcome.APPROVED
