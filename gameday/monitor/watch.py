"""Why: steady state and guardrails are the same signals with different limits, asked for once.

Joins an experiment's probes and the guardrails' thresholds into one list of watched signals, one
PromQL query each. How they are sampled and judged is for ``sampler`` and ``judge``.

A threshold of the whole platform is a watch of its own on the same query: its one reading is the
mean of all services, and unknown as soon as one of them is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import chain, count
from typing import Annotated, Final

from pydantic import Field

from gameday.spec.base import Duration, Limit, Model
from gameday.spec.experiment import Experiment, Probe
from gameday.spec.guardrails import Guardrails, Scope, Threshold
from gameday.spec.load import LoadMeasure
from gameday.spec.platform import Platform
from gameday.spec.probes import HttpProbe, KubernetesProbe


class Watch(Model):
    """One signal, its query or what is asked instead, and every limit that it is held to."""

    name: str
    query: Annotated[str, Field(description='PromQL; "" where something else is asked')] = ""
    http: HttpProbe | None = None
    kubernetes: KubernetesProbe | None = None
    load: LoadMeasure | None = None
    unit: str = ""
    expect: Limit | None = None
    tolerate: Limit | None = None
    tolerate_for: Duration = timedelta(0)
    abort_when: Limit | None = None
    abort_for: Duration = timedelta(0)
    small: tuple[str, ...] = ()
    abort_for_small: Duration = timedelta(0)
    services: tuple[str, ...] = ()
    scope: Scope = "service"

    @property
    def asks(self) -> str:
        """What is asked at each look: the query, or in words what is asked instead."""
        if self.load is not None:
            return f"{self.load} of the run's own load"
        asked = self.http or self.kubernetes
        return asked.in_full if asked is not None else self.query

    def patience(self, service: str) -> timedelta:
        """How long ``service`` may be past the guardrail before the run is aborted."""
        return self.abort_for_small if service in self.small else self.abort_for

    def concerns(self, service: str) -> bool:
        """Whether the steady state speaks of this service; thresholds always speak of all."""
        return not self.services or service in self.services


def _probe_watch(probe: Probe, platform: Platform) -> Watch:
    signal = platform.signal(probe.signal) if probe.signal else None
    return Watch.model_validate(
        {
            "name": probe.name,
            "query": signal.query if signal else probe.query or "",
            "http": probe.http,
            "kubernetes": probe.kubernetes,
            "load": probe.load,
            "unit": probe.unit or (signal.unit if signal else _unit(probe)),
            "expect": probe.expect,
            "tolerate": probe.tolerate or probe.expect,
            "tolerateFor": probe.breach_for,
            "services": probe.services,
        }
    )


_LOAD_UNITS: Final[dict[LoadMeasure, str]] = {
    "success": "ratio",
    "p50": "s",
    "p95": "s",
    "p99": "s",
    "rate": "requests/s",
    "dropped": "",
}


def _unit(probe: Probe) -> str:
    if probe.load is not None:
        return _LOAD_UNITS[probe.load]
    if probe.http is not None:
        return "s" if probe.http.measures == "latency" else "ratio"
    return "ratio" if probe.kubernetes is not None and probe.kubernetes.measures == "share" else ""


def _threshold_watch(threshold: Threshold, platform: Platform) -> Watch:
    signal = platform.signal(threshold.signal)
    of_all = threshold.scope == "platform"
    return Watch.model_validate(
        {
            "name": f"{signal.name} of the platform" if of_all else signal.name,
            "query": signal.query,
            "unit": signal.unit,
            "abortWhen": threshold.abort_when,
            "abortFor": threshold.breach_for,
            "small": _small(threshold, platform),
            "abortForSmall": threshold.for_small or threshold.breach_for,
            "scope": threshold.scope,
        }
    )


def _small(threshold: Threshold, platform: Platform) -> tuple[str, ...]:
    """The services of which one replica less is past the limit: Kubernetes must replace it first."""
    if threshold.for_small is None:
        return ()
    limit = threshold.abort_when
    return tuple(one.name for one in platform.services if limit.holds(1 - 1 / one.replicas))


def watches(
    experiment: Experiment, platform: Platform, guardrails: Guardrails, *, load: bool = False
) -> tuple[Watch, ...]:
    """Every signal that a run of ``experiment`` looks at.

    A threshold joins the probe with the same query, so that one reading serves both. What a ``load`` tells
    is looked at whether a probe judges it or not.
    """
    probes = [_probe_watch(probe, platform) for probe in experiment.steady_state]
    found = _joined(probes, platform, guardrails)
    return (*found, *_of_load(found)) if load else found


def _of_load(found: Sequence[Watch]) -> Iterator[Watch]:
    judged = {watch.load for watch in found}
    for measure, unit in _LOAD_UNITS.items():
        if measure not in judged:
            yield Watch(name=_free(f"load-{measure}", found), load=measure, unit=unit)


def threshold_watches(platform: Platform, guardrails: Guardrails) -> tuple[Watch, ...]:
    """Every signal that is looked at whatever experiment runs, or none of ours."""
    return _joined([], platform, guardrails)


def _joined(found: list[Watch], platform: Platform, guardrails: Guardrails) -> tuple[Watch, ...]:
    for threshold in guardrails.thresholds:
        watch = _threshold_watch(threshold, platform)
        same = next((i for i, other in enumerate(found) if _joinable(other, watch)), None)
        if same is None:
            found.append(watch.model_copy(update={"name": _free(watch.name, found)}))
        else:
            limits = ("abort_when", "abort_for", "small", "abort_for_small")
            found[same] = found[same].model_copy(update={name: getattr(watch, name) for name in limits})
    return tuple(found)


def _free(name: str, found: Sequence[Watch]) -> str:
    """A name for a threshold that no other watch has: the judge tells them apart by it."""
    taken = {other.name for other in found}
    names = chain((name, f"{name} threshold"), (f"{name} threshold {number}" for number in count(2)))
    return next(one for one in names if one not in taken)


def _joinable(probe: Watch, threshold: Watch) -> bool:
    return (
        probe.abort_when is None
        and probe.scope == threshold.scope
        and probe.query.split() == threshold.query.split()
    )
