"""Why: which kinds Chaos Mesh has is written once, and a stop need not load the models to know them.

Names as in ``chaos-mesh.org/v1alpha1`` (Chaos Mesh 2.8): the plural is the lowercase kind, except
for the orchestration kinds. What a kind's ``spec`` may say is ``faults``'s.
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
# A cloud's machines, a physical machine: nothing in Kubernetes is selected.
OUTSIDE_KINDS: Final = ("AWSChaos", "AzureChaos", "GCPChaos", "PhysicalMachineChaos")
# The first two select pods and change the kernel or the disks of their node.
LASTING_KINDS: Final = ("KernelChaos", "BlockChaos", *OUTSIDE_KINDS)
FAULT_KINDS: Final = POD_SCOPED_KINDS + LASTING_KINDS
SCHEDULE: Final = "Schedule"
WORKFLOW: Final = "Workflow"
ORCHESTRATION_KINDS: Final = (SCHEDULE, WORKFLOW)
ALL_KINDS: Final = ORCHESTRATION_KINDS + FAULT_KINDS

# Where runs keep their objects and Leases, unless platform.yaml says otherwise.
CHAOS_NAMESPACE: Final = "chaos-engineering"

# Actions that are over at once: desiredPhase stays Run until the object is deleted.
ONE_SHOT_ACTIONS: Final = frozenset({"pod-kill", "container-kill"})

PAUSE: Final = "experiment.chaos-mesh.org/pause"
ABORT: Final = "workflow.chaos-mesh.org/abort"
# Labels that Chaos Mesh gives to what a Schedule or a Workflow brings forth.
OF_SCHEDULE: Final = "managed-by"
OF_WORKFLOW: Final = "chaos-mesh.org/workflow"
# Labels that every object of a run carries.
RUN: Final = "gameday/run"
EXPERIMENT: Final = "gameday/experiment"
STAGE: Final = "gameday/stage"
FLOW_RUN: Final = "gameday/flow-run"
# And those of a run that is part of a suite.
SUITE: Final = "gameday/suite"
# Annotation: the digest of the plan that people approved, where they had to.
APPROVED: Final = "gameday/approved"


def plural(kind: str) -> str:
    """The name of ``kind`` in a URL."""
    return f"{kind.lower()}s" if kind in ORCHESTRATION_KINDS else kind.lower()


def member(kind: str) -> str:
    """Where the spec of a fault of ``kind`` stands in a Schedule and in a template of a Workflow."""
    return f"{kind.removesuffix('Chaos').lower()}Chaos"
