"""Why: a look asks more than Prometheus: users' requests and Kubernetes's objects, of the same moment.

Turns their answers into readings as the sampler does with Prometheus's: a value for each service, or
why there is none.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from gameday.clients.front import Answer, FrontDoor, NoAnswer
from gameday.clients.kubernetes import Cluster
from gameday.clients.types import Pod, Workload
from gameday.clock import Clock
from gameday.errors import OutsideError
from gameday.monitor.judge import Reading
from gameday.monitor.load import LoadResults
from gameday.monitor.watch import Watch
from gameday.spec.load import LoadMeasure
from gameday.spec.platform import Platform
from gameday.spec.probes import HttpProbe, KubernetesProbe

_CALL_TIMEOUT: Final = timedelta(seconds=5)


@dataclass
class Probes:
    """Asks what no query of Prometheus tells."""

    platform: Platform
    namespace: str
    cluster: Cluster
    front: FrontDoor
    clock: Clock
    load: LoadResults = field(default_factory=LoadResults)

    async def look(self, watch: Watch, expected: Sequence[str]) -> list[Reading]:
        """The readings of one watch, for each of ``expected`` one. Never raises for what is asked."""
        if watch.http is not None:
            return [await self._http(watch.name, watch.http)]
        if watch.kubernetes is not None:
            return await self._kubernetes(watch.name, watch.kubernetes, expected)
        return self._load(watch, watch.load) if watch.load is not None else []

    def _load(self, watch: Watch, measure: LoadMeasure) -> list[Reading]:
        """What the load was lately; nothing before it begins, and nothing unknown that nobody judges."""
        if self.load.began is None:
            return []
        value = None if self.load.ended else self.load.lately(measure, self.clock.now())
        if value is not None:
            return [Reading(watch.name, "", value)]
        why = "the load has ended" if self.load.ended else "nothing of the load was settled lately"
        return [Reading(watch.name, "", None, why)] if watch.expect is not None else []

    async def _http(self, name: str, probe: HttpProbe) -> Reading:
        answers = await asyncio.gather(*(self.front.ask(probe) for _ in range(probe.requests)))
        service = probe.service or ""
        value = _success(probe, answers) if probe.measures == "success" else _latency(answers)
        if isinstance(value, NoAnswer):
            return Reading(name, service, None, value.why)
        return Reading(name, service, value)

    async def _kubernetes(self, name: str, probe: KubernetesProbe, expected: Sequence[str]) -> list[Reading]:
        try:
            found = await self._objects(probe)
        except OutsideError as error:
            return [Reading(name, service, None, error.message) for service in expected or ("",)]
        of_service: dict[str, list[Pod | Workload]] = {service: [] for service in expected}
        for one in found:
            service = self.platform.service_with(one.labels)
            if probe.name in {None, one.name} and (service in of_service or not expected):
                of_service.setdefault(service, []).append(one)
        if not of_service:
            return [Reading(name, "", None, f"there is no {probe.kind} to look at")]
        return [_counted(name, service, probe, own) for service, own in sorted(of_service.items())]

    async def _objects(self, probe: KubernetesProbe) -> Sequence[Pod | Workload]:
        cluster = Cluster(self.cluster.api.within(timeout=_CALL_TIMEOUT, attempts=1))
        match probe.kind:
            case "Deployment":
                return await cluster.deployments(self.namespace, probe.selector)
            case "StatefulSet":
                return await cluster.statefulsets(self.namespace, probe.selector)
            case "Pod":
                pods = await cluster.pods(self.namespace, probe.selector)
                return [pod for pod in pods if pod.deleting is None]


def _success(probe: HttpProbe, answers: Sequence[Answer | NoAnswer]) -> float | NoAnswer:
    """The share that was answered well; what was asked and not answered was not."""
    never = next((one for one in answers if isinstance(one, NoAnswer) and not one.asked), None)
    if never is not None:
        return never
    good = [isinstance(one, Answer) and probe.good(one.status, one.body) for one in answers]
    return sum(good) / len(good)


def _latency(answers: Sequence[Answer | NoAnswer]) -> float | NoAnswer:
    """How long the slowest took: infinitely where nobody waited longer; unknown where one cannot be told."""
    took = [one.took.total_seconds() if isinstance(one, Answer) else math.inf for one in answers]
    untold = next((one for one in answers if isinstance(one, NoAnswer) and not one.late), None)
    return untold or max(took)


def _counted(name: str, service: str, probe: KubernetesProbe, own: Sequence[Pod | Workload]) -> Reading:
    if not own:
        return Reading(name, service, None, f"there is no {probe.kind} of it")
    wanted = sum(one.desired if isinstance(one, Workload) else 1 for one in own)
    ready = sum(int(one.ready) for one in own)
    if probe.measures == "count":
        return Reading(name, service, float(ready))
    if probe.measures == "available":
        workloads = [one for one in own if isinstance(one, Workload)]
        return Reading(name, service, float(all(one.available >= one.desired for one in workloads)))
    # Nothing is wanted: then nothing is missing.
    return Reading(name, service, ready / wanted if wanted else 1.0)
