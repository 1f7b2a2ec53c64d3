"""Why: the Prefect UI shows how far a run is, but a lost Prefect server must not slow its monitoring.

Keeps one progress artifact up to date from a task of its own, and beside it a page that says what is
injected where and how each signal stands. An update that fails or hangs is given up: nothing waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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
from tasks.active import ActiveRun

_logger = logging.getLogger(__name__)
_CALL_TIMEOUT_S = 3.0
_EVERY_S = 2.0
_LEAST_STEP = 2.0  # percent


@asynccontextmanager
async def shown(current: ActiveRun) -> AsyncIterator[None]:
    """Show the progress of the execution meanwhile, and how far it came at its end."""
    picture = _Picture(current)
    worker = background(picture.keep(), name="progress")
    try:
        yield
    finally:
        worker.cancel()
        await asyncio.wait({worker}, timeout=1.0)
    await picture.update()
    await picture.turn_page()


class _Picture:
    """The progress artifact of one execution."""

    def __init__(self, current: ActiveRun) -> None:
        self._run = current.run
        self._began = current.run.now()
        self._artifact: UUID | None = None
        self._told = 0.0
        self._board = current.board
        self._page: UUID | None = None
        self._shown = ""

    async def keep(self) -> None:
        """Make the artifact and keep it up to date until cancelled."""
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
            return
        while self._told < 100.0:
            # Real time: it is for eyes, and must not drive a rehearsal's clock.
            await asyncio.sleep(_EVERY_S)
            if self._percent() - self._told >= _LEAST_STEP:
                await self.update()
            await self.turn_page()

    async def update(self) -> None:
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

    async def turn_page(self) -> None:
        """Show what is new since. One that fails or hangs is given up."""
        page = self._board.markdown()
        if self._page is None or page == self._shown:
            return
        self._shown = page
        try:
            async with asyncio.timeout(_CALL_TIMEOUT_S), get_client() as client:
                await client.update_artifact(self._page, ArtifactUpdate(data=page))
        except Exception as error:
            _logger.warning("The page of the run is not up to date: %r", error)

    def _percent(self) -> float:
        total = max(self._run.plan.duration, timedelta(seconds=1))
        return min(100.0, 100.0 * ((self._run.now() - self._began) / total))
