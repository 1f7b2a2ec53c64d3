"""Seeded cases for the failure patterns, labelled by what the twin itself knows.

A case is a platform with some setting, a fault or none, and users; it runs in virtual time, in this
process. Its signals are the queries of platform.yaml over what the sandbox's Prometheus scraped. Its label
comes from counters and states inside the twin, looked at every second, of which the signals see only what
is scraped every five: ``Truth`` says what counts as which pattern.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
from tests.unit.twin_rig import Rig, declared

STEP: Final = timedelta(seconds=5)
STAGE: Final = "fault"
_BASELINE_S, _AFTER_S = 120, 90
_RESTART_S, _READY_S = 4, 5
_BEHIND_GATEWAY: Final = ("auth-service", "platform-services", "automation-services")


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


def changed(
    *,
    rate: float = 20.0,
    clients: Mapping[str, Any] | None = None,
    callees: Sequence[str] = (),
    service: str = "",
    twin: Mapping[str, Any] | None = None,
    replicas: int | None = None,
) -> Platform:
    """The platform of the catalogue: other ``clients`` of ``callees``, another ``twin`` of ``service``."""
    body = declared().model_dump(mode="json", by_alias=True, exclude_unset=True)
    body["twin"]["requestsPerSecond"] = rate
    for one in body["services"]:
        for callee, client in one["twin"].get("clients", {}).items():
            if callee in callees:
                client.update(clients or {})
        if one["name"] == service:
            one["twin"].update(twin or {})
            one["replicas"] = replicas or one.get("replicas", 1)
    return Platform.model_validate(body)


def _delay(seconds: float, jitter: float = 0.0) -> dict[str, Any]:
    return {
        "action": "delay",
        "delay": {"latency": f"{seconds * 1000:.0f}ms", "jitter": f"{jitter * 1000:.0f}ms"},
    }


_DOWN: Final = {"action": "pod-failure"}
Family = Callable[[random.Random], Setting]


def _rate(chance: random.Random) -> float:
    return round(chance.uniform(12, 32), 1)


def _small_pool(chance: random.Random) -> Setting:
    service = chance.choice(_BEHIND_GATEWAY)
    platform = changed(
        rate=_rate(chance),
        service=service,
        twin={"pool": {"size": chance.randint(1, 4), "wait": f"{chance.uniform(0.3, 3):.1f}s"}},
    )
    return Setting(
        "small pool, slow database",
        platform,
        (Fault("postgres", "NetworkChaos", _delay(chance.uniform(0.2, 2))),),
    )


def _rush_on_pool(chance: random.Random) -> Setting:
    service = chance.choice(("platform-services", "auth-service"))
    platform = changed(
        rate=round(chance.uniform(8, 16), 1),
        service=service,
        twin={"pool": {"size": 1, "wait": "1s"}},
        replicas=chance.randint(1, 2),
    )
    return Setting("small pool, many users", platform, load=chance.uniform(1.5, 6))


def _no_breaker(chance: random.Random) -> Setting:
    service = chance.choice(_BEHIND_GATEWAY)
    platform = changed(rate=_rate(chance), callees=(service,), clients={"breaker": None})
    return Setting(
        "no breaker, slow dependency",
        platform,
        (Fault(service, "NetworkChaos", _delay(chance.uniform(0.5, 8))),),
    )


def _down(chance: random.Random) -> Setting:
    service = chance.choice((*_BEHIND_GATEWAY, "postgres"))
    pods = chance.randint(1, 3)
    return Setting("dependency down", changed(rate=_rate(chance)), (Fault(service, "PodChaos", _DOWN, pods),))


def _parted(chance: random.Random) -> Setting:
    service = chance.choice(_BEHIND_GATEWAY)
    spec = {"action": "partition", "direction": "both"}
    return Setting(
        "service parted from its database",
        changed(rate=_rate(chance)),
        (Fault(service, "NetworkChaos", spec, peers=("postgres",)),),
    )


def _memory(chance: random.Random) -> Setting:
    service = chance.choice((*_BEHIND_GATEWAY, "api-gateway", "redis"))
    size = f"{chance.randint(25, 110)}%"
    return Setting(
        "memory taken",
        changed(rate=_rate(chance)),
        (
            Fault(
                service,
                "StressChaos",
                {"stressors": {"memory": {"workers": 1, "size": size}}},
                chance.randint(1, 3),
            ),
        ),
    )


def _leak(chance: random.Random) -> Setting:
    service = chance.choice((*_BEHIND_GATEWAY, "api-gateway"))
    size, pods, every = chance.randint(20, 70), chance.randint(1, 2), chance.uniform(8, 15)
    spec = {"stressors": {"memory": {"workers": 1, "size": f"{size}MiB"}}}
    return Setting(
        "memory that leaks",
        changed(rate=_rate(chance)),
        tuple(Fault(service, "StressChaos", spec, pods, after=number * every) for number in range(8)),
    )


def _cpu(chance: random.Random) -> Setting:
    service = chance.choice((*_BEHIND_GATEWAY, "api-gateway", "postgres"))
    stress = {"workers": chance.randint(1, 3), "load": chance.randint(20, 100)}
    return Setting(
        "CPU taken",
        changed(rate=_rate(chance)),
        (Fault(service, "StressChaos", {"stressors": {"cpu": stress}}, chance.randint(1, 3)),),
    )


def _few_workers(chance: random.Random) -> Setting:
    service = chance.choice(_BEHIND_GATEWAY)
    platform = changed(
        rate=_rate(chance),
        service=service,
        twin={"workers": chance.randint(2, 8)},
        replicas=chance.randint(1, 3),
    )
    return Setting(
        "few workers, slow store",
        platform,
        (Fault(chance.choice(("postgres", "redis")), "NetworkChaos", _delay(chance.uniform(0.1, 1.5))),),
    )


def _retries(chance: random.Random) -> Setting:
    service = chance.choice(_BEHIND_GATEWAY)
    clients = {
        "retries": chance.randint(1, 5),
        "retryBudget": chance.choice((0.1, 0.2, 0.6, 1.0)),
        "timeout": f"{chance.uniform(0.3, 2):.1f}s",
        "breaker": None,
    }
    platform = changed(rate=_rate(chance), callees=(service,), clients=clients)
    spec = chance.choice((_DOWN, _delay(chance.uniform(1, 5))))
    kind = "PodChaos" if spec is _DOWN else "NetworkChaos"
    return Setting("repeated calls", platform, (Fault(service, kind, spec, chance.randint(1, 3)),))


def _cold(chance: random.Random) -> Setting:
    spec, kind = chance.choice(
        (
            (None, "PodChaos"),
            (_DOWN, "PodChaos"),
            ({"action": "partition", "direction": "both"}, "NetworkChaos"),
        )
    )
    return Setting("cache lost", changed(rate=_rate(chance)), (Fault("redis", kind, spec),))


def _healthy(chance: random.Random) -> Setting:
    service = chance.choice(_BEHIND_GATEWAY)
    platform = changed(rate=round(chance.uniform(8, 36), 1), service=service, replicas=chance.randint(1, 4))
    return Setting("healthy", platform)


def _more_users(chance: random.Random) -> Setting:
    return Setting(
        "more or fewer users", changed(rate=_rate(chance)), load=chance.choice((0.3, 0.5, 1.5, 2.0, 3.0))
    )


def _a_little_slow(chance: random.Random) -> Setting:
    service = chance.choice((*_BEHIND_GATEWAY, "api-gateway", "postgres"))
    fault = Fault(service, "NetworkChaos", _delay(chance.uniform(0.02, 0.15), 0.01), chance.randint(1, 3))
    return Setting("a little slow", changed(rate=_rate(chance)), (fault,))


def _one_killed(chance: random.Random) -> Setting:
    service = chance.choice((*_BEHIND_GATEWAY, "api-gateway"))
    return Setting("one pod killed", changed(rate=_rate(chance)), (Fault(service, "PodChaos", None, 1),))


def _fallback(chance: random.Random) -> Setting:
    fault = Fault("automation-services", "PodChaos", _DOWN)
    slow = Fault("automation-services", "NetworkChaos", _delay(chance.uniform(3, 6)))
    return Setting("answered without it", changed(rate=_rate(chance)), (chance.choice((fault, slow)),))


def _gateway(chance: random.Random) -> Setting:
    spec = {"target": "Response", "port": 8080, "path": "*", "replace": {"code": chance.choice((500, 503))}}
    fault = Fault("api-gateway", "HTTPChaos", spec, chance.randint(1, 3))
    return Setting("the gateway itself", changed(rate=_rate(chance)), (fault,))


def _skewed(chance: random.Random) -> Setting:
    spec = {"timeOffset": f"{chance.randint(3, 20)}m"}
    return Setting("clock off", changed(rate=_rate(chance)), (Fault("auth-service", "TimeChaos", spec),))


def _lossy(chance: random.Random) -> Setting:
    service = chance.choice(_BEHIND_GATEWAY)
    spec = {"action": "loss", "loss": {"loss": str(chance.randint(3, 25)), "correlation": "0"}}
    return Setting(
        "some packets lost",
        changed(rate=_rate(chance)),
        (Fault(service, "NetworkChaos", spec, chance.randint(1, 3)),),
    )


FAMILIES: Final[tuple[Family, ...]] = (
    _small_pool,
    _rush_on_pool,
    _no_breaker,
    _down,
    _parted,
    _memory,
    _leak,
    _cpu,
    _few_workers,
    _retries,
    _cold,
    _healthy,
    _healthy,
    _more_users,
    _a_little_slow,
    _one_killed,
    _fallback,
    _gateway,
    _skewed,
    _lossy,
)


def case(seed: int) -> Case:
    """The case of this seed: families take turns; one in five has a gap in what was scraped."""
    chance = random.Random(seed)
    setting = FAMILIES[seed % len(FAMILIES)](chance)
    gap = chance.choice((0, 0, 0, 0, 10))
    return run(seed, replace(setting, lasts=float(chance.randint(85, 150)), gap=float(gap)))
