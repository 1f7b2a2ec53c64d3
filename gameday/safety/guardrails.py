"""Why: whatever makes a chaos object, it is held to the same limits, and told the same way.

Judges one object of Chaos Mesh by itself: a fault, or the faults inside a Schedule or a Workflow.
The plan, the guard and the tests of the admission policy ask here. What needs more than the object
(the hour, the pods, other runs) is for ``occasion`` and ``blast``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, NamedTuple

from gameday.safety.strength import excesses, part, shown
from gameday.spec.base import format_duration, parse_duration
from gameday.spec.guardrails import Guardrails, Protection
from gameday.spec.kinds import FAULT_KINDS, OUTSIDE_KINDS, RUN, SCHEDULE, WORKFLOW
from gameday.spec.platform import Platform, Service

# A Schedule of a Workflow of a Schedule is as deep as Chaos Mesh goes.
_DEEPEST: Final = 4
NARROWING: Final = (
    "labelSelectors",
    "expressionSelectors",
    "annotationSelectors",
    "fieldSelectors",
    "nodes",
    "nodeSelectors",
    "pods",
)
# Chaos Mesh applies each that is filled in, whatever the action says.
EFFECTS: Final = ("delay", "loss", "duplicate", "corrupt", "bandwidth")
# Where a Schedule and a template of a Workflow hold each kind.
MEMBERS: Final = {
    "podChaos": "PodChaos",
    "networkChaos": "NetworkChaos",
    "stressChaos": "StressChaos",
    "ioChaos": "IOChaos",
    "timeChaos": "TimeChaos",
    "httpChaos": "HTTPChaos",
    "dnsChaos": "DNSChaos",
    "jvmChaos": "JVMChaos",
    "kernelChaos": "KernelChaos",
    "blockChaos": "BlockChaos",
    "awsChaos": "AWSChaos",
    "azureChaos": "AzureChaos",
    "gcpChaos": "GCPChaos",
    "physicalmachineChaos": "PhysicalMachineChaos",
}


@dataclass(frozen=True, slots=True)
class Violation:
    """One rule that is broken.

    ``rule`` is its key in guardrails.yaml; where ``approvers`` (teams of platform.yaml) are named,
    one of them may allow it all the same.
    """

    rule: str
    what: str
    value: str
    limit: str
    approvers: tuple[str, ...] = ()

    @property
    def refuses(self) -> bool:
        """Whether nobody may allow it."""
        return not self.approvers

    def __str__(self) -> str:
        """The rule, the value, the limit, and who may approve where anyone may."""
        allowed = f"; {' or '.join(self.approvers)} may approve it" if self.approvers else ""
        return f"{self.what}: {self.value}; the limit is {self.limit} ({self.rule}){allowed}"


class _Fault(NamedTuple):
    """One fault in an object: where it stands, and what bounds its duration there."""

    kind: str
    name: str
    spec: Mapping[str, Any]
    duration: object
    duration_key: str
    depth: int

    def __str__(self) -> str:
        return self.name

    @property
    def names(self) -> set[str]:
        """What rules may call it: its kind, its action, and every effect that ``netem`` combines."""
        action = self.spec.get("action")
        effects = EFFECTS if self.kind == "NetworkChaos" else ()
        named = [effect for effect in effects if self.spec.get(effect)]
        return {self.kind, *named, *([action] if isinstance(action, str) else [])}

    @property
    def selectors(self) -> tuple[tuple[str, object], ...]:
        """Whom it hits, both ends of a network fault alike."""
        if self.kind in OUTSIDE_KINDS:
            return ()
        ends: list[tuple[str, object]] = [("selector", self.spec.get("selector"))]
        if self.kind == "NetworkChaos" and (target := self.spec.get("target")) is not None:
            ends.append(("target.selector", part(target, "selector")))
        return tuple(ends)


def check_object(
    body: Mapping[str, Any],
    guardrails: Guardrails,
    platform: Platform,
    environment: str | None = None,
    hit: Collection[str] = (),
) -> tuple[Violation, ...]:
    """Every rule that a chaos object breaks, as far as that can be seen from the object alone.

    ``environment`` names the environment whose rules hold; without it they are those of each
    environment whose namespace is hit. ``hit`` are services that it is known to hit, whatever its
    selectors look like. Never raises: what cannot be read is a violation, too.
    """
    metadata = part(body, "metadata")
    own = part(metadata, "namespace")
    found: list[Violation] = []
    for fault in _faults(body):
        if isinstance(fault, Violation):
            found.append(fault)
            continue
        home = own if isinstance(own, str) else ""
        judge = _Judge(fault, guardrails, platform, environment, home, frozenset(hit))
        labelled = bool(part(metadata, "labels", RUN))
        found += judge.violations(labelled=labelled)
    return tuple(dict.fromkeys(found))


def _faults(body: Mapping[str, Any]) -> Iterator[_Fault | Violation]:
    kind, name = part(body, "kind"), part(body, "metadata", "name")
    called = f"{shown(kind)} {shown(name)}" if isinstance(name, str) else shown(kind)
    spec = part(body, "spec")
    if not isinstance(kind, str) or kind not in (*FAULT_KINDS, SCHEDULE, WORKFLOW):
        yield Violation("kind", called, shown(kind), "a kind of Chaos Mesh")
    elif not isinstance(spec, Mapping):
        yield _unreadable(called, "spec", spec)
    else:
        yield from _inside(kind, called, spec, 0)


def _inside(kind: str, called: str, spec: Mapping[str, Any], depth: int) -> Iterator[_Fault | Violation]:
    """The faults in an object of ``kind``, and what of it cannot be read."""
    if depth >= _DEEPEST:
        yield _unreadable(called, "spec", f"nested {depth} deep")
    elif kind == SCHEDULE:
        yield from _member(called, spec, "duration", depth)
    elif kind == WORKFLOW:
        templates = spec.get("templates")
        if not isinstance(templates, list | tuple):
            yield _unreadable(called, "templates", templates)
            return
        for index, template in enumerate(templates):
            at = f"{called} templates[{index}]"
            if not isinstance(template, Mapping):
                yield _unreadable(called, f"templates[{index}]", template)
            elif any(key in template for key in (*MEMBERS, "schedule")):
                yield from _member(at, template, "deadline", depth)
            elif template.get("templateType") in (*FAULT_KINDS, SCHEDULE):
                yield _unreadable(at, "the fault that templateType names", None)
    else:
        yield _Fault(kind, called, spec, spec.get("duration"), "duration", depth)


def _member(called: str, holder: Mapping[str, Any], bound: str, depth: int) -> Iterator[_Fault | Violation]:
    """The faults that stand in ``holder`` as members, such as ``podChaos``."""
    none = True
    # In a Schedule, "schedule" is when.
    nested = ("schedule", SCHEDULE) if bound == "deadline" else ("workflow", WORKFLOW)
    for member, kind in (*MEMBERS.items(), nested):
        if (spec := holder.get(member)) is None:
            continue
        none, at = False, f"{called} {member}"
        if not isinstance(spec, Mapping):
            yield _unreadable(called, member, spec)
        elif kind in {SCHEDULE, WORKFLOW}:
            yield from _inside(kind, at, spec, depth + 1)
        else:
            duration = (holder if bound == "deadline" else spec).get(bound)
            yield _Fault(kind, at, spec, duration, bound, depth)
    if none:
        yield _unreadable(called, "the fault in it", None)


def _unreadable(called: str, where: str, value: object) -> Violation:
    return Violation("readable", f"{where} of {called}", shown(value), "what Chaos Mesh expects there")


@dataclass(frozen=True, slots=True)
class _Judge:
    """Holds one fault against the rules."""

    fault: _Fault
    guardrails: Guardrails
    platform: Platform
    environment: str | None
    own_namespace: str
    known: frozenset[str]

    def violations(self, *, labelled: bool) -> Iterator[Violation]:
        yield from self._duration()
        yield from self._selectors()
        yield from self._namespaces()
        yield from self._elsewhere()
        yield from self._strength()
        yield from self._protected()
        yield from self._destructive()
        if not labelled:
            for namespace in sorted(self.hit & set(self.guardrails.admission.run_label_in)):
                what = f"{self.fault} in {namespace}"
                yield Violation("admission.runLabelIn", what, f"no label {RUN}", "objects of a run only")

    @property
    def hit(self) -> set[str]:
        """The namespaces that are hit; as Chaos Mesh has it, without any it is the object's own."""
        return {name for _, selector in self.fault.selectors for name in self._reaches(selector)}

    def _reaches(self, selector: object) -> set[str]:
        pods, namespaces = part(selector, "pods"), part(selector, "namespaces")
        if isinstance(pods, Mapping) and pods:
            return {name if isinstance(name, str) else shown(name) for name in pods}
        if isinstance(namespaces, list | tuple) and namespaces:
            return {name if isinstance(name, str) else shown(name) for name in namespaces}
        return {self.own_namespace}

    @property
    def environments(self) -> set[str]:
        """The environments whose rules hold."""
        if self.environment is not None:
            return {self.environment}
        return {one.name for one in self.platform.environments if one.namespace in self.hit}

    def _duration(self) -> Iterator[Violation]:
        fault, limit = self.fault, self.guardrails.max_fault_duration
        words = format_duration(limit)
        what = f"{fault.duration_key} of {fault}"
        try:
            lasts = _to_the_letter(fault.duration)
        except ValueError:
            value = "none" if fault.duration in (None, "") else shown(fault.duration)
            yield Violation("maxFaultDuration", what, value, f"{words}, and it must be given")
            return
        if not timedelta(0) < lasts <= limit:
            yield Violation("maxFaultDuration", what, format_duration(lasts), words)

    def _selectors(self) -> Iterator[Violation]:
        for where, selector in self.fault.selectors:
            what = f"{where} of {self.fault}"
            if not isinstance(selector, Mapping):
                yield Violation("selector", what, shown(selector), "a selector of labels, pods or nodes")
            elif not any(selector.get(key) for key in NARROWING):
                yield Violation("selector", what, "every pod", "pods narrowed down by labels, pods or nodes")

    def _namespaces(self) -> Iterator[Violation]:
        rule = self.guardrails.namespaces
        for namespace in sorted(self.hit):
            what = f"namespace that {self.fault} hits"
            if namespace in rule.forbidden:
                yield Violation(
                    "namespaces.forbidden", what, namespace, f"none of {', '.join(rule.forbidden)}"
                )
            elif rule.allowed and namespace not in rule.allowed:
                yield Violation("namespaces.allowed", what, namespace, f"one of {', '.join(rule.allowed)}")

    def _elsewhere(self) -> Iterator[Violation]:
        """Chaos Mesh would carry it out in another cluster, which nobody here looks at or could stop."""
        if (cluster := self.fault.spec.get("remoteCluster")) not in (None, ""):
            what = f"remoteCluster of {self.fault}"
            yield Violation("remoteCluster", what, shown(cluster), "the cluster that the object is in")

    def _strength(self) -> Iterator[Violation]:
        for excess in excesses(self.fault.kind, self.fault.spec, self.guardrails.strength):
            what = f"{excess.where} of {self.fault}"
            yield Violation(f"strength.{excess.key}", what, excess.value, excess.limit)

    def _protected(self) -> Iterator[Violation]:
        for rule in self.guardrails.protected:
            if not self._names(rule.faults) or not self._holds(rule.environments):
                continue
            service = next((one for one in self.platform.services if one.name == rule.service), None)
            if service is not None and self._may_hit(service):
                yield self._protection(rule, service)

    def _protection(self, rule: Protection, service: Service) -> Violation:
        what, value = f"{self.fault} on {service.name}", ", ".join(sorted(self._names(rule.faults)))
        if rule.unless == "never":
            return Violation("protected", what, value, "never there")
        return Violation(
            "protected", what, value, "only with an approval", approvers(self.guardrails, service)
        )

    def _destructive(self) -> Iterator[Violation]:
        for rule in self.guardrails.destructive:
            if (names := self._names(rule.faults)) and self._holds(rule.environments):
                hit = [one for one in self.platform.services if self._may_hit(one)]
                who = approvers(self.guardrails, *hit)
                value = ", ".join(sorted(names))
                yield Violation("destructive", str(self.fault), value, "only with an approval", who)

    def _names(self, faults: tuple[str, ...]) -> set[str]:
        return {"*"} if "*" in faults else self.fault.names & set(faults)

    def _holds(self, environments: tuple[str, ...]) -> bool:
        return not environments or bool(self.environments & set(environments))

    def _may_hit(self, service: Service) -> bool:
        if service.name in self.known:
            return True
        return any(may_select(selector, service) for _, selector in self.fault.selectors)


def _to_the_letter(duration: object) -> timedelta:
    # Chaos Mesh takes no space around it; a TimeChaos that it cannot read would never end.
    if isinstance(duration, str) and duration != duration.strip():
        raise ValueError(duration)
    return parse_duration(duration)


def approvers(guardrails: Guardrails, *services: Service) -> tuple[str, ...]:
    """The teams that may allow something that hits ``services``."""
    return tuple(dict.fromkeys([*guardrails.approvals.approvers, *(one.owner for one in services)]))


def may_select(selector: object, service: Service) -> bool:
    """Whether a selector may match pods of ``service``: nothing in it speaks against that.

    Only labels can: a selector by node, annotation or field may hit anybody. Pods that are named
    belong to a service where their names begin with its name, as a Deployment calls them.
    """
    pods = part(selector, "pods")
    if isinstance(pods, Mapping) and pods:
        lists = [names for names in pods.values() if isinstance(names, list | tuple)]
        return any(str(name).startswith(f"{service.name}-") for names in lists for name in names)
    labels, expressions = part(selector, "labelSelectors"), part(selector, "expressionSelectors")
    wanted = labels.items() if isinstance(labels, Mapping) else ()
    if any(key in service.labels and service.labels[key] != value for key, value in wanted):
        return False
    listed = expressions if isinstance(expressions, list | tuple) else ()
    return not any(_excludes(expression, service) for expression in listed)


def _excludes(expression: object, service: Service) -> bool:
    key, values = part(expression, "key"), part(expression, "values")
    if not isinstance(key, str) or key not in service.labels:
        return False
    inside = isinstance(values, list | tuple) and service.labels[key] in values
    match part(expression, "operator"):
        case "In":
            return not inside
        case "NotIn":
            return inside
        case "DoesNotExist":
            return True
        case _:
            return False
