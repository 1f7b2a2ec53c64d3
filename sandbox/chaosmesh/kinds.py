"""Why: the kinds of Chaos Mesh differ in a few ways that everything else here asks for.

Names, whether a target is a pod or a container, which actions happen once, which wait for a second
controller. Their fields are in ``schemas``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from sandbox.kubernetes.errors import Obj

GROUP: Final = "chaos-mesh.org"
VERSION: Final = "v1alpha1"
FINALIZER: Final = "chaos-mesh/records"
PAUSE: Final = "experiment.chaos-mesh.org/pause"
ABORT: Final = "workflow.chaos-mesh.org/abort"
CLEAN: Final = "chaos-mesh.chaos-mesh.org/cleanFinalizer"
INJECT: Final = "chaos-mesh.org/inject"


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One kind of fault."""

    kind: str
    # Its member in the spec of a Schedule and in a template of a Workflow.
    member: str
    # What a record names: a pod, a container of one, or something outside the cluster.
    target: Literal["pod", "container", "outside"]
    # Network, IO and HTTP faults go through an object of a second controller, and wait for it.
    waits: bool = False
    needs_daemon: bool = True

    @property
    def plural(self) -> str:
        """The plural is the lowercase kind."""
        return self.kind.lower()


FAULT_KINDS: Final = {
    kind.kind: kind
    for kind in (
        FaultKind("PodChaos", "podChaos", "pod", needs_daemon=False),
        FaultKind("NetworkChaos", "networkChaos", "pod", waits=True),
        FaultKind("StressChaos", "stressChaos", "container"),
        FaultKind("IOChaos", "ioChaos", "container", waits=True),
        FaultKind("TimeChaos", "timeChaos", "container"),
        FaultKind("HTTPChaos", "httpChaos", "pod", waits=True),
        FaultKind("DNSChaos", "dnsChaos", "container"),
        FaultKind("JVMChaos", "jvmChaos", "container"),
        FaultKind("KernelChaos", "kernelChaos", "pod"),
        FaultKind("BlockChaos", "blockChaos", "container"),
        FaultKind("AWSChaos", "awsChaos", "outside", needs_daemon=False),
        FaultKind("AzureChaos", "azureChaos", "outside", needs_daemon=False),
        FaultKind("GCPChaos", "gcpChaos", "outside", needs_daemon=False),
        FaultKind("PhysicalMachineChaos", "physicalmachineChaos", "outside", needs_daemon=False),
    )
}
OTHER_KINDS: Final = {
    "Schedule": "schedules",
    "Workflow": "workflows",
    "WorkflowNode": "workflownodes",
    "StatusCheck": "statuschecks",
}


def is_one_shot(obj: Obj) -> bool:
    """Whether the fault happens once and is not taken back: pod-kill, container-kill and reboots."""
    action = (obj.get("spec") or {}).get("action")
    return action in ("pod-kill", "container-kill", "ec2-restart", "vm-restart", "node-reset")


def is_paused(obj: Obj) -> bool:
    """Whether the annotation says so."""
    annotations = obj["metadata"].get("annotations") or {}
    return bool(annotations.get(PAUSE) == "true")
