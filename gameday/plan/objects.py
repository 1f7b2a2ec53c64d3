"""Why: what the plan shows is, to the letter, what is sent to the API server.

Turns a declared fault into its Chaos Mesh object. Which pods that touches is ``selection``'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from gameday.spec.base import format_duration
from gameday.spec.experiment import Experiment, Stage
from gameday.spec.faults import Fault, NetworkFault, OutsideFault
from gameday.spec.kinds import API_VERSION, EXPERIMENT, RUN, STAGE
from gameday.spec.platform import Environment, Platform
from gameday.spec.selecting import Selector


def resolved(target: str | Selector, platform: Platform, environment: Environment) -> Selector:
    """The selector that ``target`` means here.

    Chaos Mesh reads a missing ``namespaces`` as the object's own, the chaos namespace; people mean
    the platform's, so it is filled in.
    """
    if isinstance(target, str):
        labels = dict(platform.service(target).labels)
        return Selector.model_validate({"namespaces": [environment.namespace], "labelSelectors": labels})
    if target.namespaces or target.pods:
        return target
    return target.model_copy(update={"namespaces": (environment.namespace,)})


def _as_written(model: Selector) -> dict[str, Any]:
    return model.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def _spec(fault: Fault, platform: Platform, environment: Environment) -> dict[str, Any]:
    spec: dict[str, Any] = fault.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    if isinstance(fault, OutsideFault):
        return spec
    spec["selector"] = _as_written(resolved(fault.target, platform, environment))
    if isinstance(fault, NetworkFault) and fault.spec.target is not None:
        spec["target"]["selector"] = _as_written(resolved(fault.spec.target.selector, platform, environment))
    return spec


def chaos_object(
    fault: Fault,
    *,
    name: str,
    run: str,
    experiment: Experiment,
    stage: Stage,
    duration: timedelta,
    platform: Platform,
    environment: Environment,
) -> dict[str, Any]:
    """The Chaos Mesh object of a fault. It always carries a ``duration``: a fault always ends."""
    labels: Mapping[str, str] = {
        RUN: run,
        EXPERIMENT: experiment.name,
        STAGE: stage.name,
        "app.kubernetes.io/managed-by": "gameday",
    }
    spec = _spec(fault, platform, environment) | {"duration": format_duration(duration)}
    return {
        "apiVersion": API_VERSION,
        "kind": fault.kind,
        "metadata": {"name": name, "namespace": platform.chaos_namespace, "labels": dict(labels)},
        "spec": spec,
    }


def in_words(fault: Fault) -> str:
    """What a fault does, in a few words: ``delay 500ms ±100ms``, ``pod-kill``."""
    spec: dict[str, Any] = fault.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    words = [*([str(spec["action"])] if "action" in spec else []), *_strength(spec)]
    return " ".join(words) or "as declared"


def _strength(spec: Mapping[str, Any]) -> Iterator[str]:
    if "port" in spec:
        yield from _http_words(spec)
    match spec:
        case {"action": "loss", "loss": {"loss": share}}:
            yield f"{share} %"
        case {"action": "partition", "target": {"selector": peer}}:
            yield f"{spec.get('direction', 'to')} {peer if isinstance(peer, str) else 'selected pods'}"
        case {"stressors": dict() as stressors}:
            yield " and ".join(_stressor_words(kind, one) for kind, one in stressors.items())
        case {"delay": {"latency": str(latency)}}:
            jitter = spec["delay"].get("jitter")
            yield latency + (f" ±{jitter}" if jitter else "")
        case {"delay": str(delay)}:
            yield delay
        case {"timeOffset": str(offset)}:
            yield f"by {offset}"


def _http_words(spec: Mapping[str, Any]) -> Iterator[str]:
    effects = [effect for effect in ("abort", "delay", "replace", "patch") if spec.get(effect)]
    yield f"{' and '.join(effects)} of {str(spec['target']).lower()}s on port {spec['port']}"


def _stressor_words(kind: str, stressor: Mapping[str, Any]) -> str:
    strength = stressor.get("size") or f"{stressor.get('load', 100)} %"
    return f"{kind} {stressor['workers']} x {strength}"
