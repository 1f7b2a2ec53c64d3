"""Why: a stop must know Chaos Mesh's kinds without loading the models of the declarations.

Names as in ``chaos-mesh.org/v1alpha1`` (Chaos Mesh 2.8): the plural is the lowercase kind, except
for the orchestration kinds.
"""

from __future__ import annotations

from typing import Final

GROUP: Final = "chaos-mesh.org"
API_VERSION: Final = f"{GROUP}/v1alpha1"
RECORDS_FINALIZER: Final = "chaos-mesh/records"

# What is left inside such a target goes when its pod goes.
POD_SCOPED_KINDS: Final = (
    "PodChaos",
    "NetworkChaos",
    "StressChaos",
    "IOChaos",
    "TimeChaos",
    "HTTPChaos",
    "DNSChaos",
    "JVMChaos",
)
# These change a node's kernel or disks, a cloud's machines, a physical machine.
LASTING_KINDS: Final = (
    "KernelChaos",
    "BlockChaos",
    "AWSChaos",
    "AzureChaos",
    "GCPChaos",
    "PhysicalMachineChaos",
)
FAULT_KINDS: Final = POD_SCOPED_KINDS + LASTING_KINDS
SCHEDULE: Final = "Schedule"
WORKFLOW: Final = "Workflow"
ORCHESTRATION_KINDS: Final = (SCHEDULE, WORKFLOW)
ALL_KINDS: Final = ORCHESTRATION_KINDS + FAULT_KINDS

# Actions that are over at once: desiredPhase stays Run until the object is deleted.
ONE_SHOT_ACTIONS: Final = frozenset({"pod-kill", "container-kill"})

PAUSE: Final = "experiment.chaos-mesh.org/pause"
ABORT: Final = "workflow.chaos-mesh.org/abort"
# Labels that Chaos Mesh gives to what a Schedule or a Workflow brings forth.
OF_SCHEDULE: Final = "managed-by"
OF_WORKFLOW: Final = "chaos-mesh.org/workflow"
# Labels that every object of a run carries.
RUN: Final = "gameday/run"
FLOW_RUN: Final = "gameday/flow-run"


def plural(kind: str) -> str:
    """The name of ``kind`` in a URL."""
    return f"{kind.lower()}s" if kind in ORCHESTRATION_KINDS else kind.lower()
