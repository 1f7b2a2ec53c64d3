"""Why: two guards see everything, and one of them acts.

Leader election by a Kubernetes Lease. No clock of another machine is believed: a candidate takes
the Lease over when it has itself seen no renewal for as long as the Lease is good, and a leader
that could not renew gives up well before anybody else can have waited for so long. Time is this
process's own and goes on evenly (``SteadyClock``), not the sandbox's.
"""

from __future__ import annotations

import logging
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from gameday.clients.kubernetes import Cluster
from gameday.clients.types import Lease
from gameday.clock import Clock, SystemClock
from gameday.errors import ConflictError, GamedayError, NotFoundError

LEASE: Final = "gameday-guard"

_log: Final = logging.getLogger(__name__)
_LABELS: Final = {"app.kubernetes.io/managed-by": "gameday", "app.kubernetes.io/component": "guard"}


@dataclass(frozen=True, slots=True)
class Term:
    """``good`` is how long a Lease is good, ``renew_within`` when a leader gives up, before that."""

    good: timedelta = timedelta(seconds=15)
    renew_within: timedelta = timedelta(seconds=10)
    every: timedelta = timedelta(seconds=2)
    call: timedelta = timedelta(seconds=3)


def identity() -> str:
    """A name for this process that no other has: a restarted one is another candidate."""
    return f"{socket.gethostname()}_{secrets.token_hex(4)}"


class Election:
    """One candidate."""

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        *,
        pace: Clock,
        stamp: Clock | None = None,
        name: str = "",
        term: Term | None = None,
        deposed: Callable[[], None] = lambda: None,
    ) -> None:
        """Stand for election as ``name``; ``deposed`` is called as soon as it is known to be lost.

        ``stamp`` is the clock that people read in the Lease; nothing here is decided by it.
        """
        self.name = name or identity()
        self.term = term or Term()
        self.leader = ""
        self._cluster = Cluster(cluster.api.within(timeout=self.term.call, attempts=1))
        self._namespace = namespace
        self._pace = pace
        self._stamp = stamp or SystemClock()
        self._deposed = deposed
        self._held: Lease | None = None
        self._until: datetime | None = None
        # What was last seen of somebody else's Lease, and when it was first seen so.
        self._seen: tuple[str, datetime | None] | None = None
        self._seen_at = pace.now()

    @property
    def leading(self) -> bool:
        """Whether this one may act at this moment."""
        return self._until is not None and self._pace.now() < self._until

    async def run(self) -> None:
        """Stand until cancelled. Raises nothing that the API server does."""
        while True:
            await self.stand()
            await self._pace.sleep(self.term.every)

    async def stand(self) -> None:
        """Renew, or try to take over what nobody renews."""
        began = self._pace.now()
        try:
            if self._held is None:
                await self._look(began)
            else:
                self._won(await self._cluster.update_lease(self._fresh(self._held)), began)
        except (ConflictError, NotFoundError):
            await self._look_again(began)
        except GamedayError as error:
            if self._until is not None and not self.leading:
                self._step_down(error.message)

    async def _look_again(self, began: datetime) -> None:
        """Somebody was faster, or an answer of ours was lost: then it is still ours."""
        self._held = None
        try:
            await self._look(began)
        except GamedayError as error:
            self._step_down(error.message)
        else:
            if self._held is None:
                self._step_down(f"the Lease is held by {self.leader}")

    async def _look(self, began: datetime) -> None:
        try:
            there = await self._cluster.lease(self._namespace, LEASE)
        except NotFoundError:
            self._won(await self._cluster.create_lease(self._fresh(None)), began)
            return
        seen = (there.holder, there.renewed)
        if seen != self._seen:
            self._seen, self._seen_at = seen, self._pace.now()
        self.leader = there.holder
        free = there.holder in {"", self.name} or self._pace.now() - self._seen_at > self.term.good
        if free:
            began = self._pace.now()
            self._won(await self._cluster.update_lease(self._fresh(there)), began)

    def _fresh(self, there: Lease | None) -> Lease:
        now = self._stamp.now()
        if there is None:
            return Lease(LEASE, self._namespace, self.name, self.term.good, now, now, labels=_LABELS)
        if there.holder == self.name:
            return replace(there, renewed=now)
        return replace(
            there,
            holder=self.name,
            duration=self.term.good,
            acquired=now,
            renewed=now,
            transitions=there.transitions + 1,
        )

    def _won(self, lease: Lease, began: datetime) -> None:
        if not self.leading:
            _log.warning("%s leads", self.name)
        # From the moment before the call: others count from after it.
        self._held, self._until, self.leader = lease, began + self.term.renew_within, self.name

    def _step_down(self, why: str) -> None:
        led = self._until is not None
        self._held, self._until, self._seen = None, None, None
        if led:
            _log.warning("%s leads no more: %s", self.name, why)
            self._deposed()

    async def resign(self) -> None:
        """Give the Lease back, so that another may lead at once. Raises nothing: it would lapse anyway."""
        held, self._held, self._until = self._held, None, None
        if held is None:
            return
        try:
            await self._cluster.update_lease(replace(held, holder="", renewed=self._stamp.now()))
        except GamedayError as error:
            _log.warning("the Lease could not be given back, so it lapses: %s", error.message)
