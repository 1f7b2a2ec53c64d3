"""Why: the Prefect UI shows how far a run is, but a lost Prefect server must not slow its monitoring.

Keeps one progress artifact up to date from a task of its own, and beside it a page that says what is
injected where and how each signal stands; at the end it shows the report. All of it belongs to the run's
own flow run, whose page shows nothing of its subflows. What fails or hangs is given up: nothing waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from uuid import UUID

from prefect.artifacts import (
    acreate_markdown_artifact,
    acreate_progress_artifact,
    aupdate_progress_artifact,
)
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate

from gameday.background import background
from gameday.report.data import ReportData
from gameday.report.markdown import render
from gameday.run.context import Run
from tasks.board import Board

_logger = logging.getLogger(__name__)
_CALL_TIMEOUT_S = 3.0
_EVERY_S = 2.0
_LAST_TRIES = 2
_LEAST_STEP = 2.0  # percent


async def show_report(run: str, report: ReportData) -> None:
    """Show the report on the page of the flow run that calls this. One that fails or hangs is given up."""
    try:
        await asyncio.wait_for(
            acreate_markdown_artifact(render(report), key="run-report", description=f"Report of {run}"),
            _CALL_TIMEOUT_S,
        )
    except Exception as error:
        _logger.warning("The report is not shown in Prefect: %r", error)


class Picture:
    """What Prefect shows of one run, from its first fault to its verdict."""

    def __init__(self, run: Run, board: Board) -> None:
        """Show ``run`` with what ``board`` has heard of it; the progress counts from now."""
        self._run = run
        self._board = board
        self._began = run.now()
        self._artifact: UUID | None = None
        self._told = 0.0
        self._page: UUID | None = None
        self._shown = ""
        self._keeper: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Show it from now on, beside everything else. Takes some seconds at most, whatever Prefect does."""
        try:
            self._artifact = await asyncio.wait_for(
                acreate_progress_artifact(
                    0.0, key="run-progress", description=f"Execution of {self._run.id}"
                ),
                _CALL_TIMEOUT_S,
            )
            self._shown = self._board.markdown()
            self._page = await asyncio.wait_for(
                acreate_markdown_artifact(
                    self._shown, key="run-watch", description=f"What is injected where: {self._run.id}"
                ),
                _CALL_TIMEOUT_S,
            )
        except Exception as error:
            _logger.warning("The progress is not shown: %r", error)
        else:
            self._keeper = background(self._keep(), name="progress")

    async def close(self) -> None:
        """Show how it ended, and nothing more. Takes some seconds at most, whatever Prefect does."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper}, timeout=1.0)
        self._board.close(proved=not self._run.findings.left_behind)
        await self._update()
        # A server that is busy for a moment must not leave a run on its page that never ends.
        for _ in range(_LAST_TRIES):
            await self._turn_page()

    async def _keep(self) -> None:
        """Keep the artifacts up to date until cancelled."""
        while True:
            # Real time: it is for eyes, and must not drive a rehearsal's clock.
            await asyncio.sleep(_EVERY_S)
            if self._percent() - self._told >= _LEAST_STEP:
                await self._update()
            await self._turn_page()

    async def _update(self) -> None:
        """Show how far it is now. One that fails or hangs is given up."""
        if self._artifact is None:
            return
        self._told = self._percent()
        try:
            await asyncio.wait_for(
                aupdate_progress_artifact(self._artifact, progress=self._told), _CALL_TIMEOUT_S
            )
        except Exception as error:
            _logger.warning("The progress is not up to date: %r", error)

    async def _turn_page(self) -> None:
        """Show what is new since. One that fails or hangs is given up."""
        page = self._board.markdown()
        if self._page is None or page == self._shown:
            return
        try:
            async with asyncio.timeout(_CALL_TIMEOUT_S), get_client() as client:
                await client.update_artifact(self._page, ArtifactUpdate(data=page))
        except Exception as error:
            _logger.warning("The page of the run is not up to date: %r", error)
        else:
            # Only now: one that was interrupted, or failed, is turned again.
            self._shown = page

    def _percent(self) -> float:
        total = max(self._run.plan.duration, timedelta(seconds=1))
        return min(100.0, 100.0 * ((self._run.now() - self._began) / total))
