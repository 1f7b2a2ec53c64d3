"""Why: a run carries out exactly a plan, and people read and approve exactly that plan.

The plan as data. ``gameday.plan.build`` makes it; nothing here talks to a cluster.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta
from typing import Any

from gameday.monitor.watch import Watch
from gameday.safety.guardrails import Violation
from gameday.safety.risk import NOT_ASSESSED, Risk
from gameday.spec.alerts import ExpectedAlert
from gameday.spec.base import Duration, Model
from gameday.spec.experiment import Recovery
from gameday.spec.gradual import Step
from gameday.spec.guardrails import Demand
from gameday.spec.load import Load
from gameday.spec.showing import Showing


class PlannedPod(Model):
    """A pod that a selector matches now."""

    namespace: str
    name: str
    service: str
    ready: bool


class Share(Model):
    """How much of one service a fault can hit: ``hit`` of ``of`` pods, at most."""

    service: str
    hit: int
    of: int


class PlannedFault(Model):
    """One chaos object and what it can touch."""

    name: str
    kind: str
    what: str
    mode: str
    one_shot: bool
    at_most: int
    candidates: tuple[PlannedPod, ...]
    peers: tuple[PlannedPod, ...] = ()
    shares: tuple[Share, ...]
    chaos_object: dict[str, Any]


class PlannedStage(Model):
    """Faults that act together; ``starts`` counts from the first injection.

    ``step`` says which strength of a gradual stage it is.
    """

    name: str
    title: str
    starts: Duration
    duration: Duration
    settle: Duration
    faults: tuple[PlannedFault, ...]
    step: Step | None = None
    expect_alerts: tuple[ExpectedAlert, ...] = ()
    must_show: tuple[Showing, ...] = ()


# What is judged of a plan, or tells it from another of the same content.
_OF_THE_MOMENT = {"run", "created_at", "refusals", "warnings", "violations", "risk", "needs", "approvers"}


class Plan(Model):
    """Everything that a run will do, why it would be refused, and what it needs to be allowed.

    ``violations`` are the guardrails that it breaks; those that nobody may allow stand among the
    ``refusals``, too. ``approvers`` are teams of platform.yaml.
    """

    run: str
    created_at: datetime
    experiment: str
    title: str
    hypothesis: str
    category: str
    owner: str
    environment: str
    namespace: str
    chaos_namespace: str
    declared: Duration
    duration: Duration
    baseline: Duration
    recovery: Recovery
    watches: tuple[Watch, ...]
    stages: tuple[PlannedStage, ...]
    expect_alerts: tuple[ExpectedAlert, ...] = ()
    load: Load | None = None
    refusals: tuple[str, ...]
    warnings: tuple[str, ...]
    violations: tuple[Violation, ...] = ()
    risk: Risk = NOT_ASSESSED
    needs: Demand = "nothing"
    approvers: tuple[str, ...] = ()

    @property
    def scaled(self) -> bool:
        """Whether the execution was asked to take longer or shorter than declared."""
        return self.duration != self.declared

    @property
    def faults(self) -> tuple[PlannedFault, ...]:
        """All faults of all stages, in order."""
        return tuple(fault for stage in self.stages for fault in stage.faults)

    @property
    def expects_alerts(self) -> bool:
        """Whether any alert is expected."""
        return bool(self.expect_alerts) or any(stage.expect_alerts for stage in self.stages)

    @property
    def services(self) -> tuple[str, ...]:
        """The services that any fault may hit, sorted."""
        return tuple(sorted({share.service for fault in self.faults for share in fault.shares}))

    @property
    def longest(self) -> timedelta:
        """The execution and, at most, the recovery after it."""
        return self.duration + self.recovery.timeout

    @property
    def document(self) -> dict[str, Any]:
        """All of it as data, as ``gameday plan -o yaml`` shows it; what is not given is left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    @property
    def digest(self) -> str:
        """SHA-256 of what the plan does: the same for two plans that differ only in run and moment."""
        content = self.model_dump(mode="json", exclude=_OF_THE_MOMENT | {"stages"})
        content["stages"] = [
            {
                **stage.model_dump(mode="json", exclude={"faults"}),
                "faults": [
                    {"kind": fault.kind, "spec": fault.chaos_object["spec"]} for fault in stage.faults
                ],
            }
            for stage in self.stages
        ]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
