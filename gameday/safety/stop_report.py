"""Why: after a stop a person must know what ended, what did not, and what nobody can vouch for.

Only the words; ``emergency`` fills them in. Durations are in seconds of the run's clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final, Self

from gameday.clients.faults import Ref
from gameday.spec.kinds import ALL_KINDS, FLOW_RUN, ORCHESTRATION_KINDS, RUN, SUITE, plural

# A thousand objects would make one entry of the audit trail longer than all the others.
_MOST_OBJECTS: Final = 50


@dataclass(frozen=True, slots=True)
class Scope:
    """What a stop ends: everything, or what carries these labels, or single objects; and what came of it.

    ``namespaces`` are where to look when the cluster does not let us list in all of them;
    ``objects`` are by uid, so that another one of the same name is not meant.
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    namespaces: tuple[str, ...] = ()
    objects: Mapping[str, Ref] = field(default_factory=dict)

    @classmethod
    def everything(cls, *namespaces: str) -> Self:
        """All chaos objects, ours and others'."""
        return cls(namespaces=namespaces)

    @classmethod
    def of_run(cls, run: str, *namespaces: str) -> Self:
        """What the run with this id made."""
        return cls({RUN: run}, namespaces)

    @classmethod
    def of_suite(cls, suite: str, *namespaces: str) -> Self:
        """What the runs of the suite with this id made."""
        return cls({SUITE: suite}, namespaces)

    @classmethod
    def of_flow_run(cls, flow_run: str, *namespaces: str) -> Self:
        """What the Prefect flow run with this id made."""
        return cls({FLOW_RUN: flow_run}, namespaces)

    @classmethod
    def of_objects(cls, objects: Mapping[str, Ref]) -> Self:
        """These objects, by uid; where they are Schedules or Workflows, what they brought forth as well."""
        return cls(namespaces=tuple(sorted({ref.namespace for ref in objects.values()})), objects=objects)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of which anything can be in scope."""
        named = {ref.kind for ref in self.objects.values()}
        if not named or named & set(ORCHESTRATION_KINDS):
            return ALL_KINDS
        return tuple(kind for kind in ALL_KINDS if kind in named)

    def __str__(self) -> str:
        kept = {"run": RUN, "suite": SUITE, "flow run": FLOW_RUN}
        named = [f"{what} {self.labels[label]}" for what, label in kept.items() if label in self.labels]
        if self.objects:
            refs = sorted(str(ref) for ref in self.objects.values())
            return refs[0] if len(refs) == 1 else f"{len(refs)} objects, first {refs[0]}"
        return named[0] if named else "everything"


class Ending(StrEnum):
    """What became of an object."""

    ENDED = "ended"
    FORCED = "forced"
    STUCK = "stuck"


class Proof(StrEnum):
    """Why we believe that the fault is over.

    ``gone``: Chaos Mesh let the object go, which it does after recovery only. ``recovered``: its
    records say so, though the object is still there. ``unproved``: nothing does.
    """

    GONE = "gone"
    RECOVERED = "recovered"
    UNPROVED = "unproved"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one object; ``seconds`` from the start of the stop until it was gone."""

    ref: Ref
    run: str
    ending: Ending
    proof: Proof
    why: str = ""
    seconds: float | None = None

    def __str__(self) -> str:
        took = f" after {self.seconds:.1f} s" if self.seconds is not None else ""
        why = f": {self.why}" if self.why else ""
        return f"{self.ref} {self.ending}{took} ({self.proof}){why}"


@dataclass(frozen=True, slots=True)
class FailedCall:
    """A call that failed ``times``; ``overcome`` where it succeeded in the end."""

    doing: str
    why: str
    times: int
    overcome: bool


@dataclass(frozen=True, slots=True)
class StopEvent:
    """What a stop has just done; ``left`` counts the objects still there."""

    text: str
    left: int

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class StopReport:
    """What a stop did. ``unseen`` are the kinds that could not be listed, and why.

    ``called_off`` are the runs whose Leases were taken away, ``lapsed`` those of them that had not renewed
    theirs in time; ``may_go_on`` says why a run may still inject, "" where none is known to.
    """

    scope: Scope
    outcomes: tuple[Outcome, ...]
    seconds: float
    failed_calls: tuple[FailedCall, ...] = ()
    unseen: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    called_off: tuple[str, ...] = ()
    lapsed: tuple[str, ...] = ()
    may_go_on: str = ""

    @property
    def clean(self) -> bool:
        """Whether every fault is proved to be over, nothing can have been overlooked, and none follows."""
        ended = all(one.ending is Ending.ENDED and one.proof is not Proof.UNPROVED for one in self.outcomes)
        return ended and not self.unseen and not self.may_go_on

    def followed_by(self, other: Self) -> Self:
        """Of two stops one after another, of which one at most found anything: what both did."""
        told = other if other.outcomes else self
        return replace(
            told,
            seconds=self.seconds + other.seconds,
            failed_calls=(*self.failed_calls, *other.failed_calls),
            unseen={**self.unseen, **other.unseen},
            notes=(*self.notes, *other.notes),
        )

    def ended_as(self, ending: Ending) -> tuple[Outcome, ...]:
        """The outcomes of one sort."""
        return tuple(one for one in self.outcomes if one.ending is ending)

    @property
    def todo(self) -> tuple[str, ...]:
        """What a person must do now; nothing where all is proved."""
        tasks = [
            f"{one.ref} is still there ({one.why or 'no reason known'}). Look with "
            f"`kubectl -n {one.ref.namespace} describe {plural(one.ref.kind)} {one.ref.name}`; "
            f"`gameday stop {one.run or '--all'} --force` lets it go without a recovery."
            for one in self.ended_as(Ending.STUCK)
        ]
        tasks += [
            f"{one.ref} was let go without a proved recovery: check its targets. {one.why}".rstrip()
            for one in self.ended_as(Ending.FORCED)
        ]
        tasks += [
            f"Whether any {kind} is live is not known ({why}). Look with `kubectl get {plural(kind)} -A`."
            for kind, why in self.unseen.items()
        ]
        if self.may_go_on:
            tasks.append(
                f"{self.may_go_on} Stop again in a moment; after `gameday halt` nothing more is injected."
            )
        return tuple(tasks)

    def lines(self) -> list[str]:
        """The report for people, the worst last."""
        ended = len(self.ended_as(Ending.ENDED))
        of_all = f"{ended} of {len(self.outcomes)} chaos objects"
        head = f"Stopped {self.scope}: {of_all} ended in {self.seconds:.1f} s."
        if not self.outcomes:
            head = f"Stopped {self.scope}: {self._nothing}."
        calls = [
            f"{one.doing}: failed {one.times} x ({one.why}){', then succeeded' if one.overcome else ''}"
            for one in self.failed_calls
        ]
        unproved = [str(one) for one in self.outcomes if one.ending is not Ending.ENDED]
        return [head, *self.notes, *calls, *unproved, *(f"To do: {task}" for task in self.todo)]

    @property
    def _nothing(self) -> str:
        if self.unseen:
            return "nothing was found, but not all was seen"
        return "no fault was found" if self.may_go_on else "there was nothing to end"

    def gist(self) -> dict[str, Any]:
        """What ended, what did not, what was not seen: for the audit trail."""
        return {
            "scope": str(self.scope),
            "clean": self.clean,
            "seconds": round(self.seconds, 3),
            "objects": [str(one) for one in self.outcomes[:_MOST_OBJECTS]],
            "count": len(self.outcomes),
            "unseen": sorted(self.unseen),
            **({"mayGoOn": self.may_go_on} if self.may_go_on else {}),
        }

    def as_dict(self) -> dict[str, Any]:
        """The report for programs, in JSON's types."""
        return {
            "scope": str(self.scope),
            "clean": self.clean,
            "seconds": round(self.seconds, 3),
            "objects": [
                {
                    "kind": one.ref.kind,
                    "namespace": one.ref.namespace,
                    "name": one.ref.name,
                    "run": one.run,
                    "ending": one.ending.value,
                    "proof": one.proof.value,
                    "why": one.why,
                    "seconds": None if one.seconds is None else round(one.seconds, 3),
                }
                for one in self.outcomes
            ],
            "failedCalls": [
                {"doing": one.doing, "why": one.why, "times": one.times, "overcome": one.overcome}
                for one in self.failed_calls
            ],
            "unseen": dict(self.unseen),
            "notes": list(self.notes),
            "calledOff": list(self.called_off),
            "mayGoOn": self.may_go_on or None,
            "todo": list(self.todo),
        }
