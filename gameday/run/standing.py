"""Why: what was right when a fault went in can become wrong while it is in, without a signal that tells.

Looks at the cluster beside the signals: the safety lever, faults that somebody ended, rules that are
broken by what is there now. Also asked just before each injection, on the pods of that moment. The
signals are ``observe``'s; ending the faults is its caller's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from gameday.clients.chaos_mesh import ChaosMesh
from gameday.clients.faults import FaultState, PodName, Ref
from gameday.clients.kubernetes import Cluster
from gameday.errors import OutsideError
from gameday.plan import rules
from gameday.plan.model import PlannedPod, PlannedStage
from gameday.plan.selection import planned
from gameday.run.context import Run
from gameday.safety.blast import Hit, untouched_ready
from gameday.safety.lever import LeverError, read
from gameday.safety.occasion import durations
from gameday.spec.base import format_duration

_BRISK: Final = timedelta(seconds=3)


@dataclass(frozen=True, slots=True)
class Stand:
    """What one look at the cluster showed: who halted everything, who ended what, rules that are broken."""

    halted: str = ""
    ended: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()


@dataclass
class Standing:
    """Whether a run may go on, as far as the cluster tells."""

    run: Run
    grace: timedelta
    began: datetime | None = None  # when the first fault went in
    _unseen_since: datetime | None = field(default=None)

    async def look(self, refs: Sequence[Ref], interval: timedelta) -> Stand:
        """Look once; ``refs`` are the faults that must be in. Never raises for what the cluster does."""
        # One try, no longer than an interval: an API server that stalls must not blind the judge.
        brisk = Cluster(self.run.session.cluster.api.within(timeout=interval, attempts=1))
        too_long = self._too_long(timedelta(0)) if refs else ()
        try:
            halted, stand = await asyncio.gather(self._halted(brisk), self._faults(brisk, refs))
        except OutsideError:
            self._unseen_since = self._unseen_since or self.run.now()
            return Stand(broken=too_long)
        self._unseen_since = None
        return replace(stand, halted=halted, broken=(*stand.broken, *too_long))

    async def _faults(self, cluster: Cluster, refs: Sequence[Ref]) -> Stand:
        if not refs:
            return Stand()
        states = await ChaosMesh(cluster.api).read_all(refs)
        ended = tuple(f"{ref} was ended by somebody else" for ref, state in states.items() if _gone(state))
        return Stand(ended=ended, broken=await self._too_few(cluster, states))

    def blind(self) -> str:
        """Why nobody knows any more, "" while the cluster answers or has not been silent for long."""
        if self._unseen_since is None or self.run.now() - self._unseen_since < self.grace:
            return ""
        return f"the API server has not answered for {format_duration(self.grace)}"

    async def before(self, stage: PlannedStage) -> tuple[str, ...]:
        """Why ``stage`` must not be injected now, on the pods that are there now.

        Raises ``OutsideError`` where the cluster does not answer.
        """
        session = self.run.session
        broken = await rules.before_injection(
            self.run.plan, stage, session.catalogue, session.cluster, self.run.now()
        )
        return (*self._too_long(stage.duration), *(str(one) for one in broken))

    def _too_long(self, more: timedelta) -> tuple[str, ...]:
        """Whether the execution takes longer than any may, with ``more`` to come."""
        if self.began is None:
            return ()
        so_far = self.run.now() - self.began + more
        return tuple(map(str, durations(self.run.session.catalogue.guardrails, so_far)))

    async def _halted(self, cluster: Cluster) -> str:
        """Why the safety lever ends the run; one that says nothing clearly does, too."""
        try:
            state = await read(cluster, self.run.plan.chaos_namespace)
        except LeverError as error:
            return error.message
        return str(state) if state.engaged else ""

    async def halted(self) -> str:
        """Who halted everything and why, "" where nobody did as far as can be told. Never raises."""
        try:
            return await self._halted(
                Cluster(self.run.session.cluster.api.within(timeout=_BRISK, attempts=2))
            )
        except OutsideError:
            return ""

    async def _too_few(self, cluster: Cluster, states: Mapping[Ref, FaultState | None]) -> tuple[str, ...]:
        """Which services have too few ready pods left that no fault touches."""
        session, plan = self.run.session, self.run.plan
        wanted = [rule for rule in session.catalogue.guardrails.blast_radius if rule.untouched_ready]
        if not any(not rule.environments or plan.environment in rule.environments for rule in wanted):
            return ()
        touched = {pod for state in states.values() if state is not None for pod in state.selected_pods}
        namespaces = sorted({plan.namespace, *(pod.namespace for pod in touched)})
        found = [pod for name in namespaces for pod in await cluster.pods(name)]
        pods = planned([pod for pod in found if pod.deleting is None], session.catalogue.platform)
        hits = [self._left(service, pods, touched) for service in self._services(states)]
        return tuple(map(str, untouched_ready(hits, session.catalogue.guardrails, plan.environment)))

    def _services(self, states: Mapping[Ref, FaultState | None]) -> list[str]:
        names = {ref.name for ref in states}
        faults = [fault for fault in self.run.plan.faults if fault.name in names]
        return sorted({share.service for fault in faults for share in fault.shares if share.service})

    def _left(self, service: str, pods: Sequence[PlannedPod], touched: Collection[PodName]) -> Hit:
        own = [pod for pod in pods if pod.service == service]
        hit = [pod for pod in own if PodName(pod.namespace, pod.name) in touched]
        left = sum(pod.ready for pod in own if pod not in hit)
        declared = self.run.session.catalogue.platform.service(service).replicas
        return Hit("under way", service, len(hit), len(own), left, declared)


def _gone(state: FaultState | None) -> bool:
    return state is None or state.meta.deleting is not None or state.paused
