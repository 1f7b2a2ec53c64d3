"""Why: a run that dies must be noticed, and two runs must never hit the same service.

A run holds a Lease of its own, by which the guard sees that it lives, and one for each service that
it hits. They are Kubernetes Leases because they outlive this process and Prefect's limits do not
hold. What follows from losing one is the run's to decide. Whether a Lease has lapsed is read from
its times, so the clocks of the machines that run experiments must agree within a few seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from gameday.clients.kubernetes import Cluster
from gameday.clients.times import written
from gameday.clients.types import Lease
from gameday.clock import Clock
from gameday.errors import (
    ConflictError,
    GamedayError,
    NotFoundError,
    RefusedError,
    StoppedError,
    UnreachableError,
)
from gameday.safety.called_off import by_whom
from gameday.spec.kinds import FLOW_RUN, RUN, SUITE

DURATION: Final = timedelta(seconds=30)
RENEW_EVERY: Final = timedelta(seconds=10)
# The run's own Lease shows that it lives. Those of the services only keep others out, and there are as
# many as it hits: they are good for longer, so that they cost little.
TARGET_DURATION: Final = 3 * DURATION
# A run gives up this long before its Leases lapse: time to notice it and to get its faults out.
MARGIN: Final = timedelta(seconds=10)

_BRISK: Final = timedelta(seconds=3)
_AGAIN_AFTER: Final = timedelta(seconds=5)
_RUN_PREFIX = "gameday-run-"
_TARGET_PREFIX = "gameday-target-"
_TARGET = "gameday/target"
# When a run last had faults in the service; it stays when the run gives the Lease back.
LAST_HIT: Final = "gameday/last-hit"
# A run that waits for people, or a suite for its runs, breaks nothing itself.
WAITS: Final = "gameday/waits-for"
_MANAGED = {"app.kubernetes.io/managed-by": "gameday"}
_CALLED_OFF: Final = "`gameday stop` called it off (its leases were taken away)"
# Each conflict means that somebody else moved; more than a few in a row is not a race any more.
_TRIES = 4


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """A service that a run hits."""

    namespace: str
    service: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.service}"


@dataclass(frozen=True, slots=True)
class Takeover:
    """A lapsed Lease that was taken over: ``previous`` let it lapse, last seen alive at ``seen_at``."""

    name: str
    previous: str
    seen_at: datetime | None


def run_lease(run: str) -> str:
    """The name of the Lease by which a run shows that it lives."""
    return f"{_RUN_PREFIX}{run}"


def is_run_lease(name: str) -> bool:
    """Whether a Lease of this name shows that a run lives."""
    return name.startswith(_RUN_PREFIX)


def target_lease(target: Target) -> str:
    """The name of the Lease that keeps a service for one run at a time."""
    return f"{_TARGET_PREFIX}{target.namespace}-{target.service}"


def _lasts(name: str) -> timedelta:
    """How long the Lease called ``name`` is good for once it is renewed."""
    return DURATION if is_run_lease(name) else TARGET_DURATION


async def give_back(cluster: Cluster, lease: Lease) -> None:
    """Delete a Lease; one of a service that was hit is kept without a holder, because it says when.

    Raises ``ConflictError`` where it has changed meanwhile, ``NotFoundError`` where it is gone.
    """
    if LAST_HIT in lease.annotations:
        await cluster.update_lease(replace(lease, holder=""))
    else:
        await cluster.delete_lease(lease)


class RunLeases:
    """All Leases of one run, in the chaos namespace."""

    def __init__(
        self,
        cluster: Cluster,
        run: str,
        targets: Iterable[Target],
        *,
        namespace: str,
        clock: Clock,
        flow_run: str = "",
        suite: str = "",
    ) -> None:
        """Hold nothing yet. ``flow_run`` and ``suite`` are the ids of what the run is part of."""
        self._cluster = cluster
        # A renewal that is late is worth less than the next one.
        self._brisk = Cluster(cluster.api.within(timeout=_BRISK, attempts=1))
        # What cannot be given back soon lapses as soon; nobody's end waits for it.
        self._leaving = Cluster(cluster.api.within(timeout=_BRISK, attempts=2))
        self._run = run
        self._targets = sorted(set(targets))
        self._namespace = namespace
        self._clock = clock
        self._labels = {**_MANAGED, RUN: run}
        self._labels |= {key: value for key, value in ((FLOW_RUN, flow_run), (SUITE, suite)) if value}
        self._held: dict[str, Lease] = {}
        self._hit: set[str] = set()
        self._waits = ""
        self._renewed_at: dict[str, datetime] = {}
        self.lost = ""
        self.called_off = False  # whether somebody took them away, rather than that they could not be kept
        self.called_off_by = ""  # who did, and why, where that is known

    async def acquire(self) -> tuple[Takeover, ...]:
        """Take all Leases or none. Answers with those that somebody had let lapse.

        Raises ``RefusedError`` naming the run that holds a service. Taken in a fixed order, so that
        two runs that want the same services never wait for each other.
        """
        wanted = [(target_lease(target), str(target)) for target in self._targets]
        takeovers: list[Takeover] = []
        self._waits = ""
        try:
            for name, target in [*wanted, (run_lease(self._run), "")]:
                takeover = await self._take(name, target)
                takeovers += [takeover] if takeover else []
        except BaseException:
            await self.release()
            raise
        return tuple(takeovers)

    async def announce(self, waits_for: str = "people") -> None:
        """Take the run's own Lease alone: by it others see that the run waits, and call it off."""
        self._waits = waits_for
        await self._take(run_lease(self._run), "")

    async def _take(self, name: str, target: str) -> Takeover | None:
        for _ in range(_TRIES):
            try:
                return await self._take_once(name, target)
            except (ConflictError, UnreachableError) as error:  # look again: it may even have worked
                failure: GamedayError = error
        raise failure

    async def _take_once(self, name: str, target: str) -> Takeover | None:
        now = self._clock.now()
        try:
            there = await self._cluster.lease(self._namespace, name)
        except NotFoundError:
            if name in self._held:
                self.lost = await self._called_off()
                raise StoppedError(f"The run was called off: {self.lost}") from None
            self._hold(await self._cluster.create_lease(self._fresh(name, target, now)), now)
            return None
        mine = there.holder == self._run
        if not (mine or there.lapsed(now) or await self._left_by_a_dead_run(there, now)):
            raise self._refusal(there, target or name)
        taken = replace(
            self._fresh(name, target, now),
            resource_version=there.resource_version,
            transitions=there.transitions + (not mine),
            acquired=there.acquired if mine else now,
            annotations={key: value for key, value in there.annotations.items() if key != WAITS}
            | self._annotations(target),
        )
        self._hold(await self._cluster.update_lease(taken), now)
        return None if mine or not there.holder else Takeover(name, there.holder, there.renewed)

    def _hold(self, lease: Lease, since: datetime) -> None:
        self._held[lease.name] = lease
        self._renewed_at[lease.name] = since

    async def _left_by_a_dead_run(self, there: Lease, now: datetime) -> bool:
        """Whether the run that holds a service has let its own Lease lapse: the service is free then.

        One that has none yet may be about to take it, and is not dead.
        """
        try:
            own = await self._cluster.lease(self._namespace, run_lease(there.holder))
        except NotFoundError:
            return False
        return own.holder == there.holder and own.lapsed(now)

    def _refusal(self, there: Lease, what: str) -> RefusedError:
        until = (there.renewed + there.duration).isoformat(timespec="seconds") if there.renewed else "unknown"
        return RefusedError(
            f"{what} is being broken by another run already.",
            (f"{what} is held by run {there.holder}; its lease is good until {until}.",),
            hint=f"Wait for it to end, or stop it: gameday stop {there.holder}",
        )

    def _fresh(self, name: str, target: str, now: datetime) -> Lease:
        return Lease(
            name=name,
            namespace=self._namespace,
            holder=self._run,
            duration=_lasts(name),
            acquired=now,
            renewed=now,
            labels=self._labels,
            annotations=self._annotations(target),
        )

    def _annotations(self, target: str) -> dict[str, str]:
        if target:
            return {_TARGET: target}
        return {WAITS: self._waits} if self._waits else {}

    def hits(self, targets: Iterable[Target]) -> None:
        """From now on faults are in ``targets``: the next renewal writes it down, and so does the end."""
        self._hit |= {target_lease(target) for target in targets}

    def _marked(self, name: str) -> Lease:
        lease, now = self._held[name], self._clock.now()
        if name not in self._hit:
            return replace(lease, renewed=now)
        return replace(lease, renewed=now, annotations={**lease.annotations, LAST_HIT: written(now)})

    def must_be_held(self) -> None:
        """See to it that a run goes on only with its Leases, as long as it has injected nothing.

        Raises ``StoppedError`` where somebody called it off, ``RefusedError`` where they could not be kept.
        """
        if not (lost := self.why_lost()):
            return
        if self.called_off:
            raise StoppedError(lost)
        raise RefusedError(
            "The run lost its leases before it broke anything",
            (lost,),
            hint="See why the API server did not answer (`gameday doctor`), then start it again.",
        )

    def why_lost(self) -> str:
        """Why the Leases are lost, "" while they are held. Asks nobody: a renewal may be stuck.

        They count as lost ``MARGIN`` before others may take them, so that the faults are out by then.
        """
        now = self._clock.now()
        late = [self._renewed_at[name] for name in self._held if now > self._good_until(name) - MARGIN]
        if late and not self.lost:
            self.lost = f"the leases were not renewed since {min(late).isoformat(timespec='seconds')}"
        return self.lost

    def _good_until(self, name: str) -> datetime:
        return self._renewed_at[name] + _lasts(name)

    def _due(self) -> list[str]:
        """What should be renewed by now: a third of its time has passed, or nearly so."""
        soon = self._clock.now() + RENEW_EVERY / 2
        return [name for name in self._held if soon >= self._renewed_at[name] + _lasts(name) / 3]

    async def keep(self) -> None:
        """Renew what is due, to be called every ``RENEW_EVERY``; tried again where it fails."""
        await self._renew_those(self._due())
        if (again := self._due()) and not self.why_lost():
            # By the next time they would be lost.
            await self._clock.sleep(_AGAIN_AFTER)
            await self._renew_those(again)

    async def renew(self) -> None:
        """Renew all, now.

        Raises nothing that the cluster does: while it is only out of reach, the Leases are still
        good for a while. ``lost`` says why once they are not, and stays.
        """
        await self._renew_those(list(self._held))

    async def _renew_those(self, names: Sequence[str]) -> None:
        if self.why_lost():
            return
        losses = [why for why in await asyncio.gather(*map(self._renew, names)) if why]
        if losses:
            self.lost = "; ".join(dict.fromkeys(losses))

    async def _renew(self, name: str) -> str:
        """Answers why it is lost, "" where it is not: renewed, or out of reach for now."""
        for _ in range(_TRIES):
            now = self._clock.now()
            try:
                self._hold(await self._brisk.update_lease(self._marked(name)), now)
            except ConflictError:
                if why := await self._look_again(name):
                    return why
            except NotFoundError:
                return await self._called_off()
            except GamedayError:
                return ""
            else:
                return ""
        return ""

    async def _called_off(self) -> str:
        self.called_off = True
        self.called_off_by = await by_whom(self._brisk, self._namespace, self._run)
        return f"Stopped by {self.called_off_by}" if self.called_off_by else _CALLED_OFF

    async def _look_again(self, name: str) -> str:
        try:
            there = await self._brisk.lease(self._namespace, name)
        except NotFoundError:
            return await self._called_off()
        except GamedayError:
            return ""
        if not there.holder:
            return await self._called_off()
        if there.holder != self._run:
            return f"the lease {name} was taken over by {there.holder}"
        self._held[name] = there
        return ""

    async def release(self) -> tuple[str, ...]:
        """Give all back. Answers with what could not be given back: it lapses by itself."""
        names = list(self._held)
        results = await asyncio.gather(*(self._release(name) for name in names))
        return tuple(why for why in results if why)

    async def _release(self, name: str) -> str:
        try:
            for _ in range(_TRIES):
                try:
                    await give_back(self._leaving, self._marked(name))
                except ConflictError:
                    there = await self._leaving.lease(self._namespace, name)
                    if there.holder != self._run:
                        break
                    self._held[name] = there
                else:
                    break
            else:
                return f"{name}: somebody kept changing it"
        except NotFoundError:
            return ""
        except GamedayError as error:
            return f"{name}: {error.message}"
        finally:
            self._held.pop(name, None)
        return ""
