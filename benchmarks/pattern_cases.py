"""Seeded cases for the failure patterns, labelled by what the twin itself knows.

A case is a platform with some setting, a fault or none, and users; it runs in virtual time, in this
process. Its signals are the queries of platform.yaml over what the sandbox's Prometheus scraped. Its label
comes from counters and states inside the twin, looked at every second, of which the signals see only what
is scraped every five: ``Truth`` says what counts as which pattern. Which cases there are is for
``pattern_families``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, Final

from benchmarks.pattern_truth import Truth
from gameday.analysis.gaps import bridged, have_gaps
from gameday.analysis.model import SignalSeries, Window
from gameday.analysis.series import on_grid
from gameday.spec.platform import Platform, Signal
from sandbox.prometheus.levers import PrometheusFault
from sandbox.wiring import Injection, PodRef, Sample, ScrapeTarget
from tests.unit.twin_rig import Rig

STEP: Final = timedelta(seconds=5)
STAGE: Final = "fault"
_BASELINE_S, _AFTER_S = 120, 90
_RESTART_S, _READY_S = 4, 5


@dataclass(frozen=True, slots=True)
class Fault:
    """What is done to which pods, so many seconds after the injection; ``spec`` None kills them."""

    service: str
    kind: str
    spec: Mapping[str, Any] | None
    pods: int = 99
    after: float = 0.0
    peers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Setting:
    """One case before it has run."""

    family: str
    platform: Platform
    faults: tuple[Fault, ...] = ()
    lasts: float = 120.0
    load: float = 1.0
    gap: float = 0.0


@dataclass(frozen=True, slots=True)
class Case:
    """One case that has run: what the analysis gets, and what the twin knows."""

    seed: int
    family: str
    platform: Platform
    series: tuple[SignalSeries, ...]
    windows: tuple[Window, ...]
    hit: Mapping[str, tuple[str, ...]]
    label: Mapping[str, tuple[str, ...]]
    unclear: frozenset[str]


@dataclass(slots=True)
class _KubeState:
    """The restarts of containers, as kube-state-metrics would tell them."""

    restarts: dict[PodRef, int] = field(default_factory=dict)
    reasons: dict[PodRef, str] = field(default_factory=dict)

    def scrape(self) -> Iterable[ScrapeTarget]:
        """One target with all containers."""
        samples = []
        for pod, count in self.restarts.items():
            labels = {"namespace": pod.namespace, "pod": pod.name, "service": pod.service}
            labels["container"] = pod.container
            samples.append(Sample("kube_pod_container_status_restarts_total", labels, count))
            if reason := self.reasons.get(pod):
                name = "kube_pod_container_status_last_terminated_reason"
                samples.append(Sample(name, {**labels, "reason": reason}, 1.0))
        yield ScrapeTarget("kube-state-metrics", "kube-state-metrics:8080", samples=tuple(samples))


class _World(Rig):
    """A rig whose containers start again when they die."""

    def __init__(self, seed: int, platform: Platform) -> None:
        self.state = _KubeState()
        super().__init__(seed=seed, platform=platform, also=[self.state])
        self.twin.on_container_death(self._died)

    def start(self, service: str, index: int) -> PodRef:
        """Start a pod, which has not restarted yet."""
        pod = super().start(service, index)
        self.state.restarts[pod] = 0
        return pod

    def _died(self, pod: PodRef, reason: str) -> None:
        self.twin.pod_crashed(pod)
        self.state.restarts[pod] += 1
        self.state.reasons[pod] = reason
        self._start_again(pod)

    def _start_again(self, pod: PodRef) -> None:
        self.world.call_later(_RESTART_S, partial(self.twin.pod_started, pod))
        self.world.call_later(_RESTART_S + _READY_S, partial(self.twin.pod_ready, pod))

    def apply(self, name: str, fault: Fault) -> None:
        """Inject it, or kill the pods and have others started in their place."""
        peers = tuple(self.of(*fault.peers)) if fault.peers else None
        for pod in self.of(fault.service)[: fault.pods]:
            if fault.spec is not None:
                self.twin.inject(Injection(name, fault.kind, fault.spec, pod, ".", peers))
            else:
                self.twin.pod_gone(pod)
                self._start_again(pod)


def run(seed: int, setting: Setting) -> Case:
    """Let one case happen."""
    rig = _World(seed, setting.platform)
    hit = tuple(sorted({fault.service for fault in setting.faults}))
    rig.wait(30)
    begin = rig.world.now()
    truth = Truth(rig.world, rig.twin, hit)
    rig.wait(_BASELINE_S)
    injected = rig.world.now()
    truth.injected()
    # Nobody needs a lever for this: users who come more often are no fault of the sandbox.
    load = rig.twin.load
    load._rate *= setting.load
    truth.load = setting.load
    for number, fault in enumerate(setting.faults):
        rig.world.call_later(fault.after, partial(rig.apply, f"fault-{number}", fault))
    if setting.gap:
        levers = rig.prometheus.levers
        rig.world.call_later(20, partial(levers.set, PrometheusFault(mode="stale")))
        rig.world.call_later(20 + setting.gap, partial(levers.set, PrometheusFault()))
    rig.wait(setting.lasts)
    ended = rig.world.now()
    for number in range(len(setting.faults)):
        rig.twin.recover(f"fault-{number}")
    load._rate /= setting.load
    truth.load = 1.0
    rig.wait(_AFTER_S)
    end = rig.world.now()
    parts = {
        "before": (begin, injected),
        "during": (injected, ended),
        "after": (ended, end),
        STAGE: (injected, ended),
    }
    windows = tuple(
        Window.model_validate({"name": name, "begin": first, "end": last})
        for name, (first, last) in parts.items()
    )
    return Case(
        seed,
        setting.family,
        setting.platform,
        tuple(_series(rig, windows[0], windows[2])),
        windows,
        {STAGE: hit},
        truth.label(),
        truth.unclear(),
    )


def _series(rig: Rig, before: Window, after: Window) -> Iterable[SignalSeries]:
    begin, end = (round(moment.timestamp() * 1000) for moment in (before.begin, after.end))
    epoch = before.begin

    def ask(signal: Signal, query: str) -> dict[str, SignalSeries]:
        found = rig.engine.range(query, begin, end, round(STEP.total_seconds() * 1000))
        return {
            labels.get("service"): on_grid(
                signal.name,
                labels.get("service"),
                [(epoch + timedelta(milliseconds=at - begin), value) for at, value in points],
                unit=signal.unit,
                begin=before.begin,
                end=after.end,
                step=STEP,
            )
            for labels, points in found.series
        }

    for signal in rig.platform.prometheus.signals:
        rates = ask(signal, signal.query)
        yield from bridged(rates, ask(signal, signal.total) if signal.total and have_gaps(rates) else {})
