"""Why: a killed pod has recovered when another one is ready in its place, and people want to see when.

Chaos Mesh's records say that a pod was killed; only the cluster says what came after it. Whether the
service answers again is judged from its signals, elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from gameday.clients.types import Pod
from gameday.errors import OutsideError
from gameday.plan.model import PlannedFault, PlannedStage
from gameday.run.context import Run
from gameday.spec.base import format_duration


async def tell_replacements(run: Run, stage: PlannedStage) -> None:
    """Tell, for each pod that the stage killed, what stands in its place and since when."""
    for fault in stage.faults:
        record = run.known_fault(fault.name)
        if not fault.one_shot or record is None or record.injected_at is None:
            continue
        killed = [pod for pod in fault.candidates if f"{pod.namespace}/{pod.name}" in record.pods]
        try:
            namespaces = sorted({one.namespace for one in killed})
            pods = [pod for name in namespaces for pod in await run.session.cluster.pods(name)]
        except OutsideError as error:
            await run.tell("warning", f"What replaced the killed pods is not known: {error.message}")
            continue
        # Chaos Mesh's creation of the object is the earliest moment at which a pod can have gone.
        await _tell(run, fault, pods, record.requested_at)


async def _tell(run: Run, fault: PlannedFault, pods: Sequence[Pod], killed_at: datetime) -> None:
    before = {(pod.namespace, pod.name) for pod in fault.candidates}
    services = {pod.service for pod in fault.candidates if pod.service}
    platform = run.session.catalogue.platform
    for service in sorted(services):
        labels = platform.service(service).labels.items()
        there = [pod for pod in pods if labels <= pod.labels.items() and pod.deleting is None]
        ready = sum(pod.ready for pod in there)
        of = sum(pod.service == service for pod in fault.candidates)
        new = [pod for pod in there if (pod.namespace, pod.name) not in before]
        words = [f"{pod.name} {_since(pod, killed_at)}" for pod in new]
        where = f": {', '.join(words)}" if words else ""
        kind = "replaced" if ready >= of else "warning"
        await run.tell(
            kind,
            f"{service}: {ready} of {of} pods ready{where}",
            fault=fault.name,
            service=service,
            ready=ready,
            of=of,
            pods=[pod.name for pod in new],
        )


def _since(pod: Pod, killed_at: datetime) -> str:
    if not pod.ready or pod.ready_since is None:
        return "not ready yet"
    seconds = round(max((pod.ready_since - killed_at).total_seconds(), 0.0))
    return f"ready {format_duration(timedelta(seconds=seconds))} after the kill"
