"""Why: one look at everything, in a fixed order, whatever of it is down.

Opens the clients and has each area looked at; an area that fails is a line, and the others go on.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from gameday.clients.chaos_mesh import ChaosMesh
from gameday.clients.grafana import Grafana, access
from gameday.clients.kubernetes import Cluster
from gameday.clients.prometheus import Prometheus
from gameday.clock import Clock
from gameday.doctor import outside, people, signals
from gameday.doctor.cluster import CHAOS_MESH, KUBERNETES, PERMISSIONS, ClusterDoctor
from gameday.doctor.guardrails import GUARDRAILS, guardrails
from gameday.doctor.lines import Line, State, guarded
from gameday.errors import GamedayError
from gameday.health import Examination
from gameday.journal.store import Journal
from gameday.settings import Settings
from gameday.spec.catalogue import Catalogue
from gameday.spec.platform import Environment

JOURNAL: Final = "journal"
HEALTH: Final = "platform"


@dataclass(frozen=True)
class Doctor:
    """Looks at one environment."""

    settings: Settings
    catalogue: Catalogue
    environment: Environment
    clock: Clock

    async def all(self) -> list[Line]:
        """Every line but Prefect's, in a fixed order."""
        platform = self.catalogue.platform
        async with asyncio.TaskGroup() as group:
            parts = [
                group.create_task(self._inside()),
                group.create_task(
                    outside.front_door(self.settings, self.catalogue, self.environment, self.clock)
                ),
                group.create_task(guarded(signals.GRAFANA, self._grafana())),
                group.create_task(
                    guarded(people.SLACK, people.slack(self.settings, platform, self.environment))
                ),
                group.create_task(guarded(JOURNAL, self._journal())),
            ]
        return [line for part in parts for line in part.result()]

    async def _inside(self) -> list[Line]:
        """The cluster and Prometheus; with one of them away, the other all the same."""
        async with AsyncExitStack() as stack:
            prometheus = await self._open_prometheus(stack)
            cluster = await self._open_cluster(stack)
            lines: list[Line] = []
            if isinstance(cluster, Cluster):
                lines += await self._cluster(cluster)
            else:
                lines.append(cluster)
            if isinstance(prometheus, Line):
                return [*lines, prometheus]
            if isinstance(cluster, Cluster):
                lines += await self._health(cluster, prometheus)
            limited = frozenset(one.signal for one in self.catalogue.guardrails.thresholds)
            doctor = signals.SignalDoctor(self.catalogue.platform, prometheus, self.clock, limited)
            lines += await guarded(signals.PROMETHEUS, doctor.all())
            return lines + await outside.alerts(self.catalogue, self.environment, prometheus)

    async def _open_cluster(self, stack: AsyncExitStack) -> Cluster | Line:
        try:
            return await stack.enter_async_context(
                Cluster.connect(
                    self.environment.context,
                    clock=self.clock,
                    call_timeout=self.settings.kubernetes_timeout,
                )
            )
        except GamedayError as error:
            why = error.message.removeprefix(f"{KUBERNETES}: ")
            return Line(KUBERNETES, "cluster", State.FAIL, why, error.hint)

    async def _open_prometheus(self, stack: AsyncExitStack) -> Prometheus | Line:
        url = self.environment.prometheus_url or self.settings.prometheus_url
        if url is None:
            advice = "Set GAMEDAY_PROMETHEUS_URL, or prometheusUrl of the environment in platform.yaml."
            return Line(signals.PROMETHEUS, "address", State.FAIL, "nobody said where it is", advice)
        return await stack.enter_async_context(
            Prometheus(url, clock=self.clock, timeout=self.settings.prometheus_timeout)
        )

    async def _cluster(self, cluster: Cluster) -> list[Line]:
        doctor = ClusterDoctor(
            self.catalogue.platform, self.environment, cluster, ChaosMesh(cluster.api), self.clock
        )
        areas = {
            KUBERNETES: doctor.kubernetes(),
            CHAOS_MESH: doctor.chaos_mesh(),
            PERMISSIONS: doctor.permissions(),
            GUARDRAILS: guardrails(self.catalogue, cluster, self.clock.now()),
        }
        found = await asyncio.gather(*(guarded(area, lines) for area, lines in areas.items()))
        return [line for lines in found for line in lines]

    async def _health(self, cluster: Cluster, prometheus: Prometheus) -> list[Line]:
        examination = Examination(
            self.catalogue.platform, self.environment, cluster, ChaosMesh(cluster.api), prometheus
        )
        return [Line.of(HEALTH, check) for check in await examination.all()]

    async def _grafana(self) -> list[Line]:
        declared = self.catalogue.platform.grafana
        where = access(self.settings, self.catalogue.platform)
        if declared is None or where is None:
            return [Line(signals.GRAFANA, signals.GRAFANA, State.SKIPPED, "platform.yaml names none")]
        async with Grafana.connect(where) as client:
            return await signals.grafana(client, declared.dashboards, token=bool(where.token))

    async def _journal(self) -> list[Line]:
        async with Journal.open(self.settings.database_url) as journal:
            runs = await journal.latest(1)
        newest = f"newest run: {runs[0].run}" if runs else "no run yet"
        return [Line(JOURNAL, JOURNAL, State.OK, f"can be written; {newest}")]
