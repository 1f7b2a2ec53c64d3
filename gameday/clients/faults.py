"""Why: whether a fault is in, or out again, is read from Chaos Mesh's records and nowhere else.

The conditions in ``status`` lag one pass behind, and ``AllRecovered`` is True before injection, so
they are not asked. The rules are those of Chaos Mesh's ``commonController`` (2.8).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from gameday.clients.reading import count, mapping, sequence, text, texts
from gameday.clients.times import duration, parsed
from gameday.spec.kinds import FAULT_KINDS, ONE_SHOT_ACTIONS, PAUSE, RECORDS_FINALIZER, RUN

_Json = Mapping[str, Any]

INJECTED = "Injected"
NOT_INJECTED = "Not Injected"
# No phase of Chaos Mesh's: neither in nor out.
UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """Which object: its kind, namespace and name."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class PodName:
    """Which pod."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class RecordEvent:
    """One attempt of the controller on one target; ``operation`` is ``Apply`` or ``Recover``."""

    succeeded: bool
    operation: str
    message: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Record:
    """What Chaos Mesh did to one target; ``id`` is ``namespace/pod`` or ``namespace/pod/container``."""

    id: str
    side: str
    phase: str
    injected_count: int
    recovered_count: int
    events: tuple[RecordEvent, ...]

    @property
    def pod(self) -> PodName | None:
        """The target pod; None where the target is no pod."""
        parts = self.id.split("/")
        return PodName(parts[0], parts[1]) if len(parts) in {2, 3} else None

    @property
    def injected(self) -> bool:
        """Whether the fault is in this target."""
        return self.phase == INJECTED and self.injected_count >= 1

    @property
    def recovered(self) -> bool:
        """Whether nothing of the fault is left in this target."""
        return self.phase == NOT_INJECTED and (self.injected_count < 1 or self.recovered_count >= 1)

    @property
    def last_failure(self) -> RecordEvent | None:
        """The newest attempt, where it failed."""
        newest = self.events[-1] if self.events else None
        return newest if newest is not None and not newest.succeeded else None

    @classmethod
    def read(cls, found: object) -> Self:
        """Read one of ``status.experiment.containerRecords``; what is no record proves nothing."""
        if not isinstance(found, Mapping):
            return cls("", ".", UNREADABLE, 0, 0, ())
        item = mapping(found)
        return cls(
            id=text(item.get("id")),
            side=text(item.get("selectorKey")) or ".",
            phase=text(item.get("phase")) or UNREADABLE,
            injected_count=count(item.get("injectedCount")),
            recovered_count=count(item.get("recoveredCount")),
            events=tuple(
                RecordEvent(
                    succeeded=one.get("type") == "Succeeded",
                    operation=text(one.get("operation")),
                    message=text(one.get("message")),
                    at=parsed(one.get("timestamp")),
                )
                for one in map(mapping, sequence(item.get("events")))
            ),
        )


@dataclass(frozen=True, slots=True)
class ObjectMeta:
    """The metadata of one chaos object, as much as a stop needs."""

    ref: Ref
    uid: str
    labels: Mapping[str, str]
    finalizers: tuple[str, ...]
    created: datetime | None
    deleting: datetime | None

    @property
    def run(self) -> str:
        """The id of the run that made it; "" where none of ours did."""
        return self.labels.get(RUN, "")

    @classmethod
    def read(cls, kind: str, item: _Json) -> Self:
        """Read the metadata of an object of the API server."""
        meta = mapping(item.get("metadata"))
        return cls(
            ref=Ref(kind, text(meta.get("namespace")), text(meta.get("name"))),
            uid=text(meta.get("uid")),
            labels=texts(meta.get("labels")),
            finalizers=tuple(text(one) for one in sequence(meta.get("finalizers"))),
            created=parsed(meta.get("creationTimestamp")),
            deleting=parsed(meta.get("deletionTimestamp")),
        )


@dataclass(frozen=True, slots=True)
class FaultState:
    """One chaos object and what its records say. Schedules and Workflows have no records."""

    meta: ObjectMeta
    annotations: Mapping[str, str]
    spec: _Json
    desired_phase: str
    records: tuple[Record, ...]
    conditions: Mapping[str, bool]

    @classmethod
    def read(cls, kind: str, item: _Json) -> Self:
        """Read a chaos object of the API server."""
        status = mapping(item.get("status"))
        experiment = mapping(status.get("experiment"))
        records = experiment.get("containerRecords") or ()
        return cls(
            meta=ObjectMeta.read(kind, item),
            annotations=texts(mapping(item.get("metadata")).get("annotations")),
            spec=mapping(item.get("spec")),
            desired_phase=text(experiment.get("desiredPhase")),
            # Records that are no list are one that proves nothing.
            records=tuple(Record.read(one) for one in (sequence(records) or [None] * bool(records))),
            conditions={
                text(one.get("type")): one.get("status") == "True"
                for one in map(mapping, sequence(status.get("conditions")))
            },
        )

    @property
    def ref(self) -> Ref:
        """Which object."""
        return self.meta.ref

    @property
    def action(self) -> str:
        """What the fault does within its kind, such as ``delay``; "" where the kind has no actions."""
        return str(self.spec.get("action", ""))

    @property
    def is_fault(self) -> bool:
        """Whether it is a fault, and not a Schedule or Workflow."""
        return self.ref.kind in FAULT_KINDS

    @property
    def one_shot(self) -> bool:
        """Whether the fault is over at once; its desiredPhase stays Run until it is deleted."""
        return self.ref.kind == "PodChaos" and self.action in ONE_SHOT_ACTIONS

    @property
    def paused(self) -> bool:
        """Whether somebody paused it."""
        return self.annotations.get(PAUSE) == "true"

    @property
    def duration(self) -> timedelta | None:
        """How long Chaos Mesh keeps it up; None: until it is deleted."""
        return duration(self.spec.get("duration"))

    @property
    def ends_by_itself_at(self) -> datetime | None:
        """When Chaos Mesh ends it: the duration counts from creation, not from injection."""
        if self.meta.created is None or self.duration is None:
            return None
        try:
            return self.meta.created + self.duration
        except OverflowError:  # later than any calendar knows
            return None

    @property
    def injected(self) -> bool:
        """Whether the fault is in every target that was chosen, and at least one was."""
        return self.desired_phase == "Run" and bool(self.records) and all(r.injected for r in self.records)

    @property
    def recovered(self) -> bool:
        """Whether the records prove that nothing of the fault is left."""
        return self.desired_phase == "Stop" and all(record.recovered for record in self.records)

    @property
    def nothing_selected(self) -> bool:
        """Whether Chaos Mesh found no target. Lasting a few seconds, it means the fault failed."""
        return not self.records and self.conditions.get("Selected") is False

    @property
    def selected_pods(self) -> tuple[PodName, ...]:
        """The pods chosen, each once, in order."""
        return tuple(sorted({record.pod for record in self.records if record.pod}))

    @property
    def unrecovered_pods(self) -> tuple[PodName, ...]:
        """The pods in which the records do not prove that nothing is left."""
        return tuple(sorted({r.pod for r in self.records if r.pod and not r.recovered}))

    @property
    def why_stuck(self) -> str:
        """In one sentence, why it is not further than it is; "" where nothing speaks against it."""
        return self._failing or self._unfinished

    @property
    def _failing(self) -> str:
        failures = [(r.id, r.last_failure) for r in self.records if r.last_failure]
        told = "; ".join(f"{target}: {event.operation} failed: {event.message}" for target, event in failures)
        return told if len(failures) < 4 else f"{len(failures)} targets fail; first, {told[:400]}"

    @property
    def _unfinished(self) -> str:
        ending = self.desired_phase == "Stop" or self.meta.deleting is not None
        left = [record.id for record in self.records if not record.recovered]
        if ending and left:
            return f"still in {', '.join(left[:3])}; the controller recorded no failed attempt to recover it"
        if ending and RECORDS_FINALIZER not in self.meta.finalizers and self.meta.finalizers:
            return f"held by the finalizer of somebody else: {', '.join(self.meta.finalizers)}"
        if self.nothing_selected:
            return "Chaos Mesh found no target that its selector matches"
        waiting = [record.id for record in self.records if not record.injected]
        if self.desired_phase == "Run" and waiting:
            return f"not yet in {', '.join(waiting[:3])}; no attempt has failed so far"
        if self.is_fault and not self.desired_phase:
            return "the Chaos Mesh controller has not looked at it yet"
        return ""
