"""Why: what a watch shows may be a moment old, and nothing is ended for a moment that has passed.

Before a stop for a Lease, a deadline or a deletion that hangs, what it is about is read once more.
The clock is read first, so that a Lease is never older than the time that it is held against. What
cannot be read is not good news: the offence stands, unless nothing at all can be read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from gameday.clients.chaos_mesh import path_of
from gameday.clients.kubernetes import Cluster
from gameday.clients.types import Lease
from gameday.errors import GamedayError, NotFoundError
from gameday.guard.moments import Moments
from gameday.guard.rules import Judge, Offence, Rule
from gameday.guard.view import View
from gameday.safety.lease import run_lease

_AT_ONCE: Final = 16


@dataclass
class Confirmation:
    """Asks the cluster once more."""

    cluster: Cluster
    namespace: str
    view: View
    judge: Judge
    moments: Moments

    async def of(self, rule: Rule, offences: list[Offence]) -> list[Offence]:
        """Those of ``offences``, all of one rule, that stand."""
        if rule not in {Rule.LEASE, Rule.DEADLINE, Rule.HANGING}:
            return offences
        now = await self.moments.now()
        if rule is Rule.LEASE:
            dead = await self._dead({one.object.run for one in offences}, now)
            return [one for one in offences if one.object.run in dead]
        gate = asyncio.Semaphore(_AT_ONCE)
        answers = await asyncio.gather(*(self._stands(one, now, gate) for one in offences))
        return [one for one, stands in zip(offences, answers, strict=True) if stands]

    async def _dead(self, runs: Iterable[str], now: datetime) -> set[str]:
        wanted = sorted(runs)
        answers = await asyncio.gather(*(self._is_dead(run, now) for run in wanted))
        return {run for run, dead in zip(wanted, answers, strict=True) if dead}

    async def _is_dead(self, run: str, now: datetime) -> bool:
        pulse = self.judge.pulse
        try:
            lease: Lease | None = await self.cluster.lease(self.namespace, run_lease(run))
        except NotFoundError:
            lease = None
        except GamedayError:
            return not self.view.nothing_seen
        if lease is None:
            return pulse.missing_for(run, now) is not None
        if lease.lapsed(now):
            return True
        return pulse.renewed(run) == lease.renewed and bool(pulse.why_dead(run, now))

    async def _stands(self, offence: Offence, now: datetime, gate: asyncio.Semaphore) -> bool:
        ref, uid = offence.object.ref, offence.object.uid
        async with gate:
            try:
                item = await self.cluster.api.get(path_of(ref), doing=f"read {ref}")
            except NotFoundError:
                return False
            except GamedayError:
                return not self.view.nothing_seen
        fresh = self.view.readers[ref.kind](item, offence.object)
        return fresh.uid == uid and self.judge.offence(fresh, now) is not None
