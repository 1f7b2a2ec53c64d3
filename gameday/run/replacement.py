"""Why: a killed pod has recovered when another one is ready in its place, and people want to see when.

Chaos Mesh's records say that a pod was killed; only the cluster says what came after it. Whether the
service answers again is judged from its signals, elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from gameday.clients.types import Pod
from gameday.errors import OutsideError
from gameday.journal.kinds import EventKind
from gameday.journal.store import FaultRecord
from gameday.plan.model import PlannedFault, PlannedStage
from gameday.run.context import Run
from gameday.spec.base import format_duration


async def tell_replacements(run: Run, stage: PlannedStage) -> dict[str, timedelta | None]:
    """Tell, for each pod that the stage killed, what stands in its place and since when.

    Answers, by service, with how long after the kill as many pods were ready as before; None where
    they are not yet. A service of which that cannot be seen is left out.
    """
    found: dict[str, timedelta | None] = {}
    for fault in stage.faults:
        record = run.known_fault(fault.name)
        if not fault.one_shot or record is None or record.injected_at is None:
            continue
        try:
            namespaces = sorted({pod.partition("/")[0] for pod in record.pods})
            pods = [pod for name in namespaces for pod in await run.session.cluster.pods(name)]
        except OutsideError as error:
            await run.tell("warning", f"What replaced the killed pods is not known: {error.message}")
            continue
        # Chaos Mesh's creation of the object is the earliest moment at which a pod can have gone.
        for service, took in (await _tell(run, fault, record, pods)).items():
            before = found.get(service, timedelta(0))
            found[service] = None if took is None or before is None else max(took, before)
    return found


async def _tell(
    run: Run, fault: PlannedFault, record: FaultRecord, pods: Sequence[Pod]
) -> dict[str, timedelta | None]:
    killed_at = record.requested_at
    platform = run.session.catalogue.platform
    found: dict[str, timedelta | None] = {}
    for service in sorted(services_hit(fault, record)):
        labels = platform.service(service).labels.items()
        there = [pod for pod in pods if labels <= pod.labels.items() and pod.deleting is None]
        ready = sum(pod.ready for pod in there)
        of = sum(pod.service == service for pod in fault.candidates)
        new = [pod for pod in there if _is_new(pod, record)]
        since = [pod.ready_since - killed_at for pod in new if pod.ready and pod.ready_since is not None]
        found[service] = max(since, default=timedelta(0)) if ready >= of else None
        words = [f"{pod.name} {_since(pod, killed_at)}" for pod in new]
        where = f": {', '.join(words)}" if words else ""
        kind: EventKind = "replaced" if ready >= of else "warning"
        await run.tell(
            kind,
            f"{service}: {ready} of {of} pods ready{where}",
            fault=fault.name,
            service=service,
            ready=ready,
            of=of,
            pods=[pod.name for pod in new],
        )
    return found


def _is_new(pod: Pod, record: FaultRecord) -> bool:
    """Whether it was started since the kill, or its container was started again in the same pod."""
    since = pod.started_at
    if f"{pod.namespace}/{pod.name}" in record.pods:
        since = pod.ready_since or since
    return since is None or since >= record.requested_at


def services_hit(fault: PlannedFault, record: FaultRecord) -> set[str]:
    """The services whose pods the fault was in, by Chaos Mesh's records.

    A pod that came after the plan was made is taken for one of any service that the fault can hit.
    """
    known = {f"{pod.namespace}/{pod.name}": pod.service for pod in (*fault.candidates, *fault.peers)}
    found = {known[pod] for pod in record.pods if pod in known}
    if any(pod not in known for pod in record.pods):
        found |= {share.service for share in fault.shares}
    return found - {""}


def _since(pod: Pod, killed_at: datetime) -> str:
    if not pod.ready or pod.ready_since is None:
        return "not ready yet"
    seconds = round(max((pod.ready_since - killed_at).total_seconds(), 0.0))
    return f"ready {format_duration(timedelta(seconds=seconds))} after the kill"
