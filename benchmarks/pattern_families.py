"""The families of cases for the failure patterns: what is set, broken or asked for in each, by its seed.

How one runs, and what becomes of it, is for ``pattern_cases``.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from benchmarks.pattern_cases import Case, Fault, Setting, run
from gameday.spec.platform import Platform
from tests.unit.twin_rig import declared

_BEHIND_GATEWAY: Final = ("auth-service", "platform-services", "automation-services")


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
