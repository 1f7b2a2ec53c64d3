"""Why: the guard holds every chaos object there is, so it holds as little of each as it can.

An object is read as a whole once, when it comes by on the watch: its spec is judged by the
guardrails, its records say whether the fault is still in. What stays is one small ``Watched``. The
watch brings whole objects and not only their metadata because a fault's end is told by its status.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from gameday.clients.faults import FaultState, ObjectMeta, Ref
from gameday.clients.times import duration
from gameday.clients.transport import Json
from gameday.safety.guardrails import Violation, check_object
from gameday.spec.guardrails import Guardrails
from gameday.spec.kinds import EXPERIMENT, OF_WORKFLOW, ORCHESTRATION_KINDS, SCHEDULE, STAGE, WORKFLOW
from gameday.spec.platform import Platform

_DURATION_RULE = "maxFaultDuration"


@dataclass(frozen=True, slots=True)
class Watched:
    """One chaos object. ``ends`` is when it should be over, by its own words or by the guardrails'.

    ``live``: a fault that may be in, or a Schedule or Workflow that may bring one forth. ``judged``
    is what ``violations`` were found for: they are found anew only where that has changed.
    """

    ref: Ref
    uid: str
    run: str
    experiment: str
    stage: str
    created: datetime | None
    deleting: datetime | None
    ends: datetime | None
    live: bool
    violations: tuple[Violation, ...]
    judged: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the objects of one kind. Never raises: what cannot be read breaks a rule by that alone."""

    kind: str
    guardrails: Guardrails
    platform: Platform

    def __call__(self, item: Json, before: Watched | None) -> Watched:
        """What is to be known of ``item``; ``before`` is what was known of it until now."""
        body = {**item, "kind": self.kind}
        meta = ObjectMeta.read(self.kind, body)
        key = (item["metadata"].get("generation") if self.kind in ORCHESTRATION_KINDS else 0, bool(meta.run))
        known = before is not None and before.judged == key
        violations = before.violations if known and before is not None else self._violations(body, meta)
        try:
            state = FaultState.read(self.kind, body)
            live, ends = _live(state), self._ends(state)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            unreadable = Violation("readable", str(meta.ref), repr(error), "what Chaos Mesh writes there")
            live, ends, violations = True, meta.created, (unreadable,)
        return Watched(
            ref=meta.ref,
            uid=meta.uid,
            run=meta.run,
            experiment=meta.labels.get(EXPERIMENT, ""),
            stage=meta.labels.get(STAGE, ""),
            created=meta.created,
            deleting=meta.deleting,
            ends=ends,
            live=live,
            violations=violations,
            judged=key,
        )

    def _violations(self, body: Mapping[str, Any], meta: ObjectMeta) -> tuple[Violation, ...]:
        found = check_object(body, self.guardrails, self.platform)
        spec = body.get("spec")
        if OF_WORKFLOW in meta.labels and isinstance(spec, Mapping) and not spec.get("duration"):
            # What bounds it is the deadline of its template, which was judged with the Workflow.
            found = tuple(one for one in found if one.rule != _DURATION_RULE)
        return found

    def _ends(self, state: FaultState) -> datetime | None:
        """When it should be over; None where nothing says so, as with a Schedule."""
        if self.kind == SCHEDULE or state.meta.created is None:
            return None
        if self.kind == WORKFLOW:
            return state.meta.created + (_deadline(state) or self.guardrails.max_run_duration)
        return state.meta.created + (state.duration or self.guardrails.max_fault_duration)


def _deadline(state: FaultState) -> timedelta | None:
    """How long a Workflow may take, as its entry says."""
    entry = state.spec.get("entry")
    templates = state.spec.get("templates") or ()
    return next((duration(one.get("deadline")) for one in templates if one.get("name") == entry), None)


def _live(state: FaultState) -> bool:
    if state.ref.kind == SCHEDULE:
        return not state.paused
    if state.ref.kind == WORKFLOW:
        return not state.conditions.get("Accomplished", False)
    if state.one_shot:
        # It was over when it had begun, and its records never say so.
        return not state.injected
    return not state.recovered
