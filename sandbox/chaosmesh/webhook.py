"""Why: Chaos Mesh's admission webhook fills in defaults and refuses what makes no sense, also in a dry run.

The rules are those of ``facts``: Chaos Mesh's ``*_webhook.go``. Types and required fields are refused
before, by the CustomResourceDefinition. With the controller down, creating and updating fail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

import durationpy
from cronsim import CronSim, CronSimError

from sandbox.chaosmesh.kinds import FAULT_KINDS, GROUP
from sandbox.chaosmesh.levers import ChaosLevers
from sandbox.kubernetes import errors
from sandbox.kubernetes.api import Admitted
from sandbox.kubernetes.errors import ApiError, Obj
from sandbox.kubernetes.levers import Levers

_SERVICE: Final = "chaos-mesh-controller-manager.{}.svc:443"
_EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)
_SHORTHANDS: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


def seconds(duration: str) -> float:
    """A duration of Go's in seconds. Raises ``ValueError``."""
    try:
        return float(durationpy.from_str(duration).total_seconds())
    except durationpy.DurationError as error:
        raise ValueError(f'time: invalid duration "{duration}"') from error


def cron(expression: str) -> str:
    """A cron expression without shorthands."""
    return _SHORTHANDS.get(expression, expression)


def default_spec(kind: str, spec: Obj, namespace: str) -> None:
    """Fill in what a fault's spec leaves out, in place."""
    for side in (spec, spec.get("target") if kind == "NetworkChaos" else None):
        selector = side.get("selector") if isinstance(side, dict) else None
        if isinstance(selector, dict) and not selector.get("namespaces"):
            selector["namespaces"] = [namespace]
    if kind == "NetworkChaos":
        spec.setdefault("direction", "to")
        for name in ("delay", "loss", "duplicate", "corrupt"):
            if isinstance(part := spec.get(name), dict):
                part.setdefault("correlation", "0")
        if isinstance(delay := spec.get("delay"), dict):
            delay.setdefault("jitter", "0ms")
    if kind == "TimeChaos":
        spec.setdefault("clockIds", ["CLOCK_REALTIME"])
    if kind == "IOChaos":
        spec.setdefault("percent", 100)
    if kind == "PodChaos":
        spec.setdefault("gracePeriod", 0)


def _mode_faults(path: str, mode: str, value: str) -> Iterator[str]:
    if mode in ("one", "all"):
        return
    try:
        number = float(value) if mode != "fixed" else int(value)
    except ValueError:
        yield f'{path}.value: Invalid value: "{value}": parse value field error: invalid syntax'
        return
    if mode == "fixed" and number <= 0:
        yield f'{path}.value: Invalid value: "{value}": value must be greater than 0 with mode:fixed'
    elif mode != "fixed" and not 0 < number <= 100:
        yield f'{path}.value: Invalid value: "{value}": value of {value} is invalid, Must be (0,100]'


def _duration_fault(path: str, value: str) -> Iterator[str]:
    try:
        seconds(value)
    except ValueError as error:
        yield f'{path}: Invalid value: "{value}": parse duration field error: {error}'


def _number_fault(path: str, value: str) -> Iterator[str]:
    try:
        float(value)
    except ValueError:
        yield f'{path}: Invalid value: "{value}": parse {path.rpartition(".")[2]} field error: invalid syntax'


def _network(path: str, spec: Obj) -> Iterator[str]:
    target = spec.get("target")
    if target:
        yield from _mode_faults(f"{path}.target", target.get("mode", ""), target.get("value", ""))
    elif spec.get("direction") in ("from", "both") and spec.get("action") != "partition":
        yield (
            f'{path}.direction: Invalid value: "{spec["direction"]}": `direction` from or both cannot be used'
            " when targets is empty in netem action"
        )
    for name in ("delay", "loss", "duplicate", "corrupt"):
        part = spec.get(name) or {}
        if name in part:
            yield from _number_fault(f"{path}.{name}.{name}", part[name])
        if "correlation" in part:
            yield from _number_fault(f"{path}.{name}.correlation", part["correlation"])
    for name in ("latency", "jitter"):
        if name in (delay := spec.get("delay") or {}):
            yield from _duration_fault(f"{path}.delay.{name}", delay[name])


def _stress(path: str, spec: Obj) -> Iterator[str]:
    stressors = spec.get("stressors") or {}
    if not stressors and not spec.get("stressngStressors"):
        yield f"{path}.stressors: Invalid value: null: missing stressors"
    for name, stressor in stressors.items():
        at, workers = f"{path}.stressors.{name}", stressor.get("workers", 0)
        if workers <= 0:
            yield f"{at}.workers: Invalid value: {workers}: should be greater than 0"
        if not 0 <= stressor.get("load", 0) <= 100:
            yield f"{at}.load: Invalid value: {stressor['load']}: should be in [0, 100]"


def _io(path: str, spec: Obj) -> Iterator[str]:
    if spec.get("action") == "fault" and not spec.get("errno"):
        yield f"{path}.errno: Invalid value: 0: action fault: errno 0 is not supported"
    if spec.get("delay"):
        yield from _duration_fault(f"{path}.delay", spec["delay"])
    if not 0 <= spec.get("percent", 100) <= 100:
        yield f"{path}.percent: Invalid value: {spec['percent']}: should be in [0, 100]"


def _http(path: str, spec: Obj) -> Iterator[str]:
    if spec.get("port", 0) <= 0:
        yield f"{path}.port: Invalid value: {spec.get('port', 0)}: port is not supported"
    if spec.get("delay"):
        yield from _duration_fault(f"{path}.delay", spec["delay"])


def _time(path: str, spec: Obj) -> Iterator[str]:
    yield from _duration_fault(f"{path}.timeOffset", spec.get("timeOffset", ""))


def _pod(path: str, spec: Obj) -> Iterator[str]:
    if spec.get("action") == "container-kill" and not spec.get("containerNames"):
        why = "the name of container is required on container-kill action"
        yield f"{path}.containerNames: Invalid value: null: {why}"
    if spec.get("gracePeriod", 0) < 0:
        yield f"{path}.gracePeriod: Invalid value: {spec['gracePeriod']}: gracePeriod must be non-negative"


_RULES: Final[dict[str, Callable[[str, Obj], Iterator[str]]]] = {
    "PodChaos": _pod,
    "NetworkChaos": _network,
    "StressChaos": _stress,
    "IOChaos": _io,
    "HTTPChaos": _http,
    "TimeChaos": _time,
}


def spec_faults(kind: str, spec: Obj, path: str = "spec") -> list[str]:
    """What is wrong with a fault's spec."""
    faults = list(_mode_faults(path, spec["mode"], spec.get("value", ""))) if "mode" in spec else []
    # TimeChaos alone does not have its duration checked: one that cannot be parsed never ends.
    if spec.get("duration") and kind != "TimeChaos":
        faults += _duration_fault(f"{path}.duration", spec["duration"])
    rule = _RULES.get(kind)
    return [*faults, *rule(path, spec)] if rule else faults


def _schedule_faults(obj: Obj) -> list[str]:
    spec = obj["spec"]
    expression = spec["schedule"]
    try:
        if expression.startswith("@every "):
            seconds(expression.removeprefix("@every ").strip())
        else:
            CronSim(cron(expression), _EPOCH)
    except (ValueError, CronSimError) as error:
        return [f'spec.schedule: Invalid value: "{expression}": parse schedule field error: {error}']
    member = "workflow" if spec["type"] == "Workflow" else FAULT_KINDS[spec["type"]].member
    if not isinstance(spec.get(member), dict):
        return [f"spec.{member}: Required value: the spec of the scheduled {spec['type']}"]
    if spec["type"] == "Workflow":
        return _workflow_faults({"spec": spec[member]}, "spec.workflow")
    return spec_faults(spec["type"], spec[member], f"spec.{member}")


def _workflow_faults(obj: Obj, path: str = "spec") -> list[str]:
    spec = obj["spec"]
    templates: list[Obj] = spec.get("templates") or []
    names = [template.get("name", "") for template in templates]
    faults: list[str] = []
    if spec.get("entry") not in names:
        faults.append(
            f'{path}.entry: Invalid value: "{spec.get("entry")}": can not find a template with that name'
        )
    for index, template in enumerate(templates):
        at = f"{path}.templates[{index}]"
        kind = FAULT_KINDS.get(template.get("templateType", ""))
        fault = template.get(kind.member) if kind else None
        if kind and not isinstance(fault, dict):
            faults.append(f"{at}.{kind.member}: Required value: the spec of the {kind.kind}")
        elif kind and isinstance(fault, dict):
            if fault.get("duration"):
                faults.append(
                    f'{at}.{kind.member}.duration: Invalid value: "{fault["duration"]}": should not define'
                    " duration in chaos when using Workflow, use Template#Deadline instead."
                )
            faults += spec_faults(kind.kind, fault, f"{at}.{kind.member}")
        if template.get("deadline"):
            faults += _duration_fault(f"{at}.deadline", template["deadline"])
        faults += [
            f'{at}.children: Invalid value: "{child}": can not find a template with that name'
            for child in template.get("children") or ()
            if child not in names
        ]
    return faults


class Webhook:
    """The admission step of the kinds of Chaos Mesh."""

    def __init__(self, levers: ChaosLevers, access: Levers, *, namespace: str, restricted: bool) -> None:
        """Answer for the controller in ``namespace``; ``restricted`` turns its permission check on."""
        self._levers = levers
        self._access = access
        self._namespace = namespace
        self._restricted = restricted

    def __call__(self, admitted: Admitted) -> None:
        """Default and judge. Raises the 403 of a webhook that denies, or the 500 of one that is away."""
        if admitted.resource.group != GROUP:
            return
        kind = admitted.resource.kind
        if self._levers.controller_down:
            self._unreachable(kind)
        self._default(kind, admitted.object)
        faults = self._faults(kind, admitted)
        if faults:
            shown = faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]"
            raise _denied(f"v{kind.lower()}.kb.io", shown)
        if self._restricted and kind in FAULT_KINDS:
            self._check_access(kind, admitted)

    def _unreachable(self, kind: str) -> None:
        server = _SERVICE.format(self._namespace)
        hook = kind.lower()
        raise errors.internal(
            f'failed calling webhook "m{hook}.kb.io": failed to call webhook: Post'
            f' "https://{server}/mutate-chaos-mesh-org-v1alpha1-{hook}?timeout=5s": dial tcp: connect:'
            " connection refused"
        )

    def _default(self, kind: str, obj: Obj) -> None:
        spec, namespace = obj.get("spec"), obj["metadata"].get("namespace", "")
        if not isinstance(spec, dict):
            return
        if kind in FAULT_KINDS:
            default_spec(kind, spec, namespace)
        if kind == "Schedule":
            spec.setdefault("concurrencyPolicy", "Forbid")
            spec.setdefault("historyLimit", 1)

    def _faults(self, kind: str, admitted: Admitted) -> list[str]:
        obj = admitted.object
        if kind in FAULT_KINDS:
            if admitted.old is not None and admitted.old.get("spec") != obj.get("spec"):
                return ["Cannot update chaos spec"]
            return spec_faults(kind, obj["spec"]) if admitted.old is None else []
        if kind == "Schedule":
            return _schedule_faults(obj)
        return _workflow_faults(obj) if kind == "Workflow" else []

    def _check_access(self, kind: str, admitted: Admitted) -> None:
        spec: Any = admitted.object["spec"]
        # HTTPChaos has a ``target`` too, which is a word.
        sides = [spec, spec.get("target")]
        selectors = [side.get("selector") or {} for side in sides if isinstance(side, dict)]
        for namespace in sorted(
            {name for selector in selectors for name in selector.get("namespaces") or ()}
        ):
            if not self._access.allowed(admitted.user, "create", admitted.resource, namespace):
                raise _denied("vauth.kb.io", f"{admitted.user} is forbidden on namespace {namespace}")


def _denied(hook: str, why: str) -> ApiError:
    return ApiError(403, "Forbidden", f'admission webhook "{hook}" denied the request: {why}')
