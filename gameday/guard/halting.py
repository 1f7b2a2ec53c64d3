"""Why: on a critical failure nothing new may start, and what was begun all the same must not go on.

The guard's side of the safety lever: engages it, with patience, and knows since when it is engaged,
so that the guard holds to it where the API server's admission policy is not installed.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta
from typing import Final

from tenacity import AsyncRetrying, retry_if_exception_type, wait_random_exponential

from gameday.background import background
from gameday.clients.kubernetes import Cluster
from gameday.clock import Clock
from gameday.errors import GamedayError
from gameday.guard.metrics import Metrics
from gameday.guard.moments import Moments
from gameday.guard.telling import Teller
from gameday.safety import lever

_log: Final = logging.getLogger(__name__)
SOURCE: Final = "guard"


class Halting:
    """The safety lever, as one guard sees and pulls it."""

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        moments: Moments,
        teller: Teller,
        metrics: Metrics,
        *,
        pace: Clock,
        observe: bool,
    ) -> None:
        """Know nothing yet. With ``observe`` it is never pulled."""
        self._cluster = cluster
        self._namespace = namespace
        self._moments = moments
        self._teller = teller
        self._metrics = metrics
        self._pace = pace
        self._observe = observe
        self._pulling: asyncio.Task[None] | None = None
        self.since: datetime | None = None

    async def look(self) -> None:
        """Hear whether everything is halted. Where the cluster does not tell, what was known stands."""
        now = await self._moments.now()
        try:
            state = await lever.read(self._cluster, self._namespace)
        except lever.LeverError as error:
            # Nobody can say that something may start.
            _log.warning("%s", error.message)
            self.since = self.since or now
        except GamedayError as error:
            _log.warning("the safety lever cannot be read: %s", error.message)
        else:
            self.since = (state.since or self.since or now) if state.engaged else None

    def engage(self, reason: str) -> None:
        """Begin to engage it, until that has succeeded; returns at once."""
        if self._observe or self.since is not None or self._pulling is not None:
            return
        self._pulling = background(self._engage(reason), name="engage the lever")
        self._pulling.add_done_callback(self._let_go)

    def _let_go(self, task: asyncio.Task[None]) -> None:
        self._pulling = None
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("the safety lever could not be engaged", exc_info=error)

    async def _engage(self, reason: str) -> None:
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(GamedayError),
            wait=wait_random_exponential(multiplier=0.5, max=10),
            sleep=self._rest,
        )
        turn: lever.Turn = await retrying(self._try, reason)
        self.since = turn.state.since or await self._moments.now()
        if turn.changed:
            title = "Guard: engaged the safety lever; nothing new starts until `gameday resume`"
            self._teller.tell(title, [reason])

    async def _try(self, reason: str) -> lever.Turn:
        try:
            turn = await lever.engage(
                self._cluster,
                self._namespace,
                by="guard",
                reason=reason,
                source=SOURCE,
                clock=self._moments.clock,
            )
        except GamedayError as error:
            self._metrics.lever.labels("failed").inc()
            _log.warning("the safety lever could not be engaged: %s", error.message)
            raise
        self._metrics.lever.labels("engaged").inc()
        return turn

    async def _rest(self, seconds: float) -> None:
        await self._pace.sleep(timedelta(seconds=seconds))

    def drop(self) -> None:
        """Let go of it: another one leads."""
        if self._pulling is not None:
            self._pulling.cancel()

    async def finish(self, seconds: float) -> None:
        """Let it come to its end, for ``seconds`` of real time at most."""
        if self._pulling is not None:
            await asyncio.wait({self._pulling}, timeout=seconds)
            self.drop()
