"""Why: the guard's parts make one process that goes on whatever goes away, and ends when told to.

Turns every second, and at once when something appears: holds what is seen against the rules and has
the actor end what must not go on, if this replica leads. An API server, a Prometheus or a Slack that
is away ends none of its loops; an error that nobody foresaw ends the whole process, to be restarted.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from gameday.clients.chaos_mesh import ChaosMesh
from gameday.clients.kubernetes import Cluster
from gameday.clients.mirror import Timing
from gameday.clients.prometheus import Prometheus
from gameday.clients.slack import Messenger
from gameday.clock import Clock, SteadyClock, for_people
from gameday.guard.acting import Actor
from gameday.guard.confirming import Confirmation
from gameday.guard.halting import Halting
from gameday.guard.leader import Election, Term
from gameday.guard.metrics import Metrics
from gameday.guard.moments import Moments
from gameday.guard.rules import Judge, Patience, Pulse, Rule
from gameday.guard.signals import Alarm, Signals
from gameday.guard.telling import Record, Teller
from gameday.guard.view import View
from gameday.guard.web import Health
from gameday.spec.catalogue import Catalogue
from gameday.spec.platform import Environment

_log: Final = logging.getLogger(__name__)
_FINISH_STOPS_S: Final = 12.0
_FINISH_LEVER_S: Final = 3.0
_FINISH_MESSAGES_S: Final = 5.0
LONGEST_END: Final = timedelta(seconds=_FINISH_STOPS_S + _FINISH_LEVER_S + _FINISH_MESSAGES_S)
"""How long it may take from SIGTERM to the end, but for one call that gives the Lease back."""
# How many intervals a living run has to abort by itself, by the same thresholds.
_RUNS_TURN: Final = 2


@dataclass(frozen=True, slots=True)
class Pace:
    """How often the guard does what, in real time."""

    turn: timedelta = timedelta(seconds=1)
    least: timedelta = timedelta(milliseconds=100)
    lever: timedelta = timedelta(seconds=5)
    alive_within: timedelta = timedelta(seconds=30)
    watches: Timing = field(default_factory=Timing)
    term: Term = field(default_factory=Term)
    patience: Patience = field(default_factory=Patience)


class Guard:
    """One replica."""

    def __init__(
        self,
        cluster: Cluster,
        prometheus: Prometheus,
        messenger: Messenger,
        catalogue: Catalogue,
        environment: Environment,
        *,
        clock: Clock,
        observe: bool = False,
        record: Record | None = None,
        pace: Pace | None = None,
        steady: Clock | None = None,
    ) -> None:
        """Begin nothing yet. ``clock`` is the cluster's, ``steady`` the one by which it waits itself.

        ``record`` writes down what people are told.
        """
        platform, guardrails = catalogue.platform, catalogue.guardrails
        self.pace = pace or Pace()
        self.observe = observe
        self.metrics = Metrics()
        self._platform = platform
        self._guardrails = guardrails
        self._steady = steady or SteadyClock()
        self._moments = Moments(clock)
        namespace = platform.chaos_namespace
        self.view = View(cluster, platform, guardrails, pace=self._steady, timing=self.pace.watches)
        self._judge = Judge(Pulse(), self.pace.patience)
        self._signals = Signals.of(prometheus, platform, guardrails)
        self._teller = Teller(messenger, environment.channel, self.metrics, record)
        confirmation = Confirmation(cluster, namespace, self.view, self._judge, self._moments)
        self._halting = Halting(
            cluster, namespace, self._moments, self._teller, self.metrics, pace=self._steady, observe=observe
        )
        self._actor = Actor(
            ChaosMesh(cluster.api),
            confirmation,
            self._halting,
            self._teller,
            self.metrics,
            pace=self._steady,
            namespaces=sorted({namespace, *(one.namespace for one in platform.environments)}),
            observe=observe,
        )
        self.election = Election(
            cluster,
            namespace,
            pace=self._steady,
            stamp=for_people(clock),
            term=self.pace.term,
            deposed=self._drop,
        )
        self.turned_at = self._steady.now()
        self._live = 0
        self._all_of_living_runs = False
        # Runs whose Lease has lapsed and of which nothing is left.
        self._ended: frozenset[str] = frozenset()
        self._blind_told: set[str] = set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Watch and act until ``stopping`` is set; then finish what is under way and resign."""
        async with self._background(self._teller.run):
            async with self._background(
                self.view.run, self._standing, self._turning, self._sampling, self._looking_at_lever
            ):
                await stopping.wait()
                _log.warning("told to end")
                # It still leads meanwhile: nobody else has to begin the same stops again.
                await self._actor.finish(_FINISH_STOPS_S)
                await self._halting.finish(_FINISH_LEVER_S)
            await self.election.resign()
            await self._teller.finish(_FINISH_MESSAGES_S)

    @asynccontextmanager
    async def _background(self, *works: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work()) for work in works]
            yield
            for task in tasks:
                task.cancel()

    async def _standing(self) -> None:
        if self.observe:
            return
        await self.election.run()

    @property
    def acts(self) -> bool:
        """Whether this replica looks after things now; an observer always does, and only tells."""
        return self.observe or self.election.leading

    def _drop(self) -> None:
        self._actor.drop()
        self._halting.drop()

    # Objects and Leases.

    async def _turning(self) -> None:
        while True:
            await self._turn()
            try:
                async with asyncio.timeout(self.pace.turn.total_seconds()):
                    # Many changes at once make one turn, not many.
                    await self._steady.sleep(self.pace.least)
                    await self.view.changed.wait()
            except TimeoutError:
                continue

    async def _turn(self) -> None:
        self.view.changed.clear()
        leases = self.view.leases()
        now = await self._moments.now()
        self._judge.pulse.take(now, leases)
        self._count(now)
        if self.acts:
            self._act(now)
        self.turned_at = self._steady.now()

    def _act(self, now: datetime) -> None:
        halted = self._halting.since
        offences = (self._judge.offence(one, now, halted=halted) for one in self.view.objects())
        self._actor.deal(one for one in offences if one is not None)
        for uid in self._actor.known:
            if not any(uid in mirror.items for mirror in self.view.kinds.values()):
                self._actor.forget(uid)
        for name, (since, why) in self.view.blind().items():
            if since > self._guardrails.no_data_grace and name not in self._blind_told:
                self._blind_told.add(name)
                self._teller.tell("Guard: cannot see", [f"{name}, for {since.total_seconds():.0f} s: {why}"])
        self._blind_told &= self.view.blind().keys()

    def _count(self, now: datetime) -> None:
        pulse = self._judge.pulse
        live = [one for one in self.view.objects() if one.live]
        self._live = len(live)
        self._all_of_living_runs = all(one.run and pulse.lives(one.run, now) for one in live)
        self.metrics.live.set(len(live))
        self.metrics.count_faults(Counter((one.run, one.experiment, one.stage, one.ref.kind) for one in live))
        self.metrics.overdue.set(sum(self._judge.overdue(one, now) for one in live))
        self.metrics.runs.set(pulse.runs)
        self.metrics.lapsed.set(self._unended(pulse.lapsed(now)))
        self.metrics.engaged.set(self._halting.since is not None)
        self.metrics.leader.set(self.election.leading)
        self.metrics.synced.set(self.view.synced)

    def _unended(self, lapsed: frozenset[str]) -> int:
        """How many of the runs that died may have left something.

        Their Leases stay: by them whoever looks next knows that the run was cut off, and what still comes
        of it is ended at once. What was seen to be over stays so while not everything can be seen.
        """
        left = frozenset(one.run for one in self.view.objects())
        known = lapsed if self.view.synced else self._ended & lapsed
        self._ended = known - left
        return len(lapsed - self._ended)

    # Signals.

    async def _sampling(self) -> None:
        """Look at the platform while anything is live. The interval is of the cluster's time."""
        interval = self._platform.prometheus.sample_interval
        while True:
            await self._steady.sleep(min(self.pace.turn, interval))
            if not self._live or not self.acts:
                self._signals.rest()
                continue
            now = await self._moments.now()
            last = self._signals.sampled_at
            if last is not None and now - last < interval:
                continue
            alarm = await self._signals.look(now)
            if alarm is not None and self.acts:
                self._heed(alarm, now)

    def _heed(self, alarm: Alarm, now: datetime) -> None:
        if alarm.of_platform:
            self._halting.engage(f"a threshold of the platform is broken: {'; '.join(alarm.reasons)}")
        turn = _RUNS_TURN * self._platform.prometheus.sample_interval
        if self._all_of_living_runs and now - alarm.since < turn:
            # They see the same and abort by themselves, which says more than being stopped.
            return
        self._actor.end_everything(Rule.BLIND if alarm.blind else Rule.THRESHOLD, alarm)

    async def _looking_at_lever(self) -> None:
        while True:
            await self._halting.look()
            await self._steady.sleep(self.pace.lever)

    # What others ask.

    @property
    def sampled_at(self) -> datetime | None:
        """When it last looked at the platform; None while nothing is live."""
        return self._signals.sampled_at

    def alive(self) -> Health:
        """Whether the loop turns."""
        late = self._steady.now() - self.turned_at
        if late <= self.pace.alive_within:
            return Health(True, "ok")
        return Health(False, f"the loop has not turned for {late.total_seconds():.0f} s")

    def ready(self) -> Health:
        """Whether it sees everything, or stands by."""
        if not self.acts:
            return Health(True, f"standing by; {self.election.leader or 'nobody'} leads")
        blind = self.view.blind()
        if not blind:
            return Health(True, "observing" if self.observe else "leading")
        return Health(False, "; ".join(f"{name}: {why}" for name, (_, why) in sorted(blind.items())))

    def exposition(self) -> bytes:
        """The metrics, as they are now."""
        blind = self.view.blind()
        for mirror in self.view.mirrors:
            name = mirror.collection.name
            since, _ = blind.get(name, (timedelta(0), ""))
            self.metrics.blind.labels(name).set(since.total_seconds())
            for reason, times in mirror.restarts.items():
                self.metrics.restarts.labels(name, reason).set(times)
        counts = Counter({kind: len(mirror.items) for kind, mirror in self.view.kinds.items()})
        for kind, count in counts.items():
            self.metrics.objects.labels(kind).set(count)
        self.metrics.unknown.set(self._signals.unknown)
        self.metrics.over.set(self._signals.over)
        return self.metrics.exposition()
