"""Why: everything that the guard sees stands in one place, with what it cannot see.

A mirror for each kind of chaos object in all namespaces, and one of the Leases of runs. It judges
nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta

from gameday.clients.kubernetes import Cluster
from gameday.clients.mirror import Collection, Mirror, Timing
from gameday.clients.transport import Json
from gameday.clients.types import Lease
from gameday.clock import Clock
from gameday.guard.objects import Reader, Watched
from gameday.safety.lease import is_run_lease
from gameday.spec.guardrails import Guardrails
from gameday.spec.kinds import ALL_KINDS, API_VERSION, plural
from gameday.spec.platform import Platform

LEASES = "leases"


class View:
    """All chaos objects and the Leases of all runs, kept up to date while ``run`` does."""

    def __init__(
        self,
        cluster: Cluster,
        platform: Platform,
        guardrails: Guardrails,
        *,
        pace: Clock,
        timing: Timing | None = None,
    ) -> None:
        """See nothing yet."""
        self.changed = asyncio.Event()
        self._pace = pace
        timing = timing or Timing()
        self.readers = {kind: Reader(kind, guardrails, platform) for kind in ALL_KINDS}
        self.kinds = {
            kind: Mirror(
                cluster.api,
                Collection(kind, f"/apis/{API_VERSION}/{plural(kind)}"),
                self.readers[kind],
                pace,
                self._on_change,
                timing,
            )
            for kind in ALL_KINDS
        }
        path = f"/apis/coordination.k8s.io/v1/namespaces/{platform.chaos_namespace}/leases"
        self._leases = Mirror(cluster.api, Collection(LEASES, path), _lease, pace, self._on_change, timing)

    def _on_change(self, before: object, after: object) -> None:
        if before is None or after is None or _matters(before, after):
            self.changed.set()

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as group:
            for mirror in self.mirrors:
                group.create_task(mirror.run())

    @property
    def mirrors(self) -> list[Mirror[Watched] | Mirror[Lease]]:
        """All of them."""
        return [*self.kinds.values(), self._leases]

    def objects(self) -> Iterator[Watched]:
        """Every chaos object, as it was last seen."""
        for mirror in self.kinds.values():
            yield from mirror.items.values()

    def leases(self) -> list[Lease]:
        """The Leases of runs, as they were last seen."""
        return [lease for lease in self._leases.items.values() if is_run_lease(lease.name)]

    @property
    def synced(self) -> bool:
        """Whether all of it is to be relied on."""
        return all(mirror.synced for mirror in self.mirrors)

    @property
    def nothing_seen(self) -> bool:
        """Whether none of it is: then it is the API server that is away."""
        return not any(mirror.synced for mirror in self.mirrors)

    def blind(self) -> dict[str, tuple[timedelta, str]]:
        """What cannot be watched: for how long (real time), and why."""
        now = self._pace.now()
        return {
            mirror.collection.name: (now - mirror.blind_since, mirror.why_blind)
            for mirror in self.mirrors
            if mirror.blind_since is not None
        }


def _lease(item: Json, before: Lease | None) -> Lease:
    return Lease.read(item)


def _matters(before: object, after: object) -> bool:
    """Whether a change can make an offence: most only tell how an injection gets on."""
    if isinstance(before, Watched) and isinstance(after, Watched):
        return (before.live, before.run, before.violations) != (after.live, after.run, after.violations)
    return False
