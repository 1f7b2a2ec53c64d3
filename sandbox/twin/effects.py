"""Why: what acts on a pod is the sum of its injections; this is the only place that reads their specs.

From Chaos Mesh's own fields to what the model understands:

- PodChaos ``pod-failure``: nothing answers. (Kills are told as pods that are gone.)
- NetworkChaos: see ``network``.
- StressChaos: CPU workers compete with the service for its cores, memory workers fill its limit.
- IOChaos: ``latency`` and ``fault`` on reads and writes below ``volumePath``; ``mistake`` corrupts,
  which shows as a failed operation; ``attrOverride`` is taken as a refused write where it takes
  the permission to write away, else as nothing.
- BlockChaos: a delay of every read and write.
- TimeChaos: a clock that is off, where CLOCK_REALTIME is among ``clockIds``.
- HTTPChaos: on the service's port, by path, method and (of responses) code.
- DNSChaos: ``error`` fails new look-ups, ``random`` sends them astray, which is a failed connection.
- JVMChaos does nothing: no service here runs on a JVM. KernelChaos, the clouds and physical
  machines do nothing either: what they break lies below what is modelled.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from sandbox.twin.network import Rule, rule_of
from sandbox.twin.quantities import mebibytes, seconds, share
from sandbox.wiring import Injection

_WRITES = {"WRITE", "FSYNC", "FLUSH", "CREATE", "OPEN", "MKNOD", "SETATTR", "FALLOCATE"}
# What a service itself wants of the CPU while it is stressed.
_OWN_CORES = 0.2
_READS = {"READ", "OPEN", "GETATTR", "LOOKUP", "READDIR"}


@dataclass(slots=True)
class DiskFault:
    """What happens to reads and writes: each, with its chance, takes longer or fails."""

    reads: bool
    writes: bool
    chance: float
    delay: float
    fails: bool


@dataclass(slots=True)
class HttpFault:
    """What happens to requests to, or responses of, one pod's port."""

    on_response: bool
    path: str
    method: str
    only_code: int
    abort: bool
    delay: float
    code: int

    def concerns(self, method: str, path: str) -> bool:
        """Whether it acts on this request."""
        return (not self.method or self.method == method) and fnmatchcase(path, self.path)


@dataclass(slots=True)
class Effects:
    """Everything that acts on one pod at the moment."""

    answering: bool = True
    rules: list[Rule] = field(default_factory=list)
    stress_cores: float = 0.0
    stress_mib: float = 0.0
    disk: list[DiskFault] = field(default_factory=list)
    http: list[HttpFault] = field(default_factory=list)
    names: list[tuple[str, ...]] = field(default_factory=list)
    skew: float = 0.0

    def pace(self, cpus: float) -> float:
        """How many times longer work takes: the stress and the service's own thread share ``cpus``."""
        return max(1.0, (self.stress_cores + 1.0) / cpus) if self.stress_cores else 1.0

    def throttled(self, cpus: float) -> float:
        """The share of each of the kernel's periods in which the container gets no CPU at all."""
        return max(0.0, 1.0 - cpus / (self.stress_cores + _OWN_CORES)) if self.stress_cores else 0.0

    def misresolves(self, service: str, namespace: str) -> bool:
        """Whether a new look-up of ``service`` fails."""
        forms = [service, f"{service}.{namespace}", f"{service}.{namespace}.svc"]
        forms.append(f"{forms[-1]}.cluster.local")
        return any(
            not patterns or any(fnmatchcase(form, pattern) for form in forms for pattern in patterns)
            for patterns in self.names
        )


class Fault:
    """One injection and what it holds from its beginning to its end."""

    __slots__ = ("injection", "rule")

    def __init__(self, injection: Injection, source: random.Random) -> None:
        self.injection = injection
        self.rule = rule_of(injection, source) if injection.kind == "NetworkChaos" else None

    @property
    def survives_restart(self) -> bool:
        """Whether it outlives the container: the network belongs to the pod, its image to the object."""
        return self.injection.kind in {"NetworkChaos", "PodChaos"}


def effects_of(faults: Iterable[Fault], *, port: int, disk: str | None, memory_limit_mib: float) -> Effects:
    """What ``faults`` together do to a pod that listens on ``port`` and keeps its data on ``disk``."""
    effects = Effects()
    for fault in faults:
        spec = fault.injection.spec
        match fault.injection.kind:
            case "PodChaos":
                effects.answering = effects.answering and spec.get("action") != "pod-failure"
            case "NetworkChaos" if fault.rule is not None:
                effects.rules.append(fault.rule)
            case "StressChaos":
                _stress(effects, spec, memory_limit_mib)
            case "IOChaos" if disk is not None and _below(disk, str(spec.get("volumePath") or "/")):
                effects.disk.append(_disk_fault(spec))
            case "BlockChaos" if disk is not None:
                delay = seconds((spec.get("delay") or {}).get("latency"))
                effects.disk.append(DiskFault(True, True, 1.0, delay, fails=False))
            case "TimeChaos":
                clocks = spec.get("clockIds") or ["CLOCK_REALTIME"]
                effects.skew += seconds(spec.get("timeOffset")) if "CLOCK_REALTIME" in clocks else 0.0
            case "HTTPChaos" if int(spec.get("port") or port) == port:
                effects.http.append(_http_fault(spec))
            case "DNSChaos":
                effects.names.append(tuple(spec.get("patterns") or ()))
    return effects


def _stress(effects: Effects, spec: Mapping[str, Any], memory_limit_mib: float) -> None:
    stressors = spec.get("stressors") or {}
    if cpu := stressors.get("cpu"):
        load = cpu.get("load")
        effects.stress_cores += (
            int(cpu.get("workers") or 1) * (100.0 if load is None else float(load)) / 100.0
        )
    if memory := stressors.get("memory"):
        effects.stress_mib += mebibytes(memory.get("size"), memory_limit_mib)


def _below(disk: str, volume: str) -> bool:
    return f"{disk.rstrip('/')}/".startswith(f"{volume.rstrip('/')}/")


def _disk_fault(spec: Mapping[str, Any]) -> DiskFault:
    methods = {str(method).upper() for method in spec.get("methods") or ()}
    action = spec.get("action")
    writes = not methods or bool(methods & _WRITES)
    reads = not methods or bool(methods & _READS)
    fails = action in {"fault", "mistake"}
    if action == "attrOverride":
        permissions = (spec.get("attr") or {}).get("perm")
        reads, fails = False, permissions is not None and not int(permissions) & 0o222
    delay = seconds(spec.get("delay")) if action == "latency" else 0.0
    return DiskFault(reads, writes, share(spec.get("percent"), 1.0), delay, fails)


def _http_fault(spec: Mapping[str, Any]) -> HttpFault:
    replace = spec.get("replace") or {}
    return HttpFault(
        on_response=spec.get("target") == "Response",
        path=str(spec.get("path") or "*"),
        method=str(spec.get("method") or "").upper(),
        only_code=int(spec.get("code") or 0),
        abort=bool(spec.get("abort")),
        delay=seconds(spec.get("delay")),
        code=int(replace.get("code") or 0),
    )
