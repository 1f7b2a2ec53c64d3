"""Why: a fault is written in Chaos Mesh's own words, and what its webhook would refuse is refused here.

The field names and the rules are those of the ``chaos-mesh.org/v1alpha1`` custom resources and
their admission webhook (Chaos Mesh 2.8); ``selecting`` and ``network`` hold parts of them. Seven
kinds are typed in full; of the others only the selector and the mode are checked, and the API
server's dry run judges the rest. ``selector`` and ``duration`` do not stand in ``spec``: they follow
from ``target`` and from the stage.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from gameday.spec.base import GoDuration, Mistake, Model, Name, nearest
from gameday.spec.kinds import FAULT_KINDS
from gameday.spec.network import NetworkChaosSpec
from gameday.spec.selecting import ChaosSpec, Target, must_be_text


class PodChaosSpec(ChaosSpec):
    """Kill pods or containers, or make pods unavailable."""

    action: Literal["pod-kill", "pod-failure", "container-kill"]
    grace_period: Annotated[int, Field(ge=0, description="seconds")] | None = None
    container_names: tuple[str, ...] | None = None

    def mistakes(self) -> Iterator[Mistake]:
        """A container must have a name."""
        yield from super().mistakes()
        if self.action == "container-kill" and not self.container_names:
            yield ("action",), "action container-kill needs the key containerNames"


# More is more than stress-ng can run.
Workers = Annotated[int, Field(ge=1, le=8192)]


class CpuStressor(Model):
    """Burn CPU: ``load`` in percent for each worker."""

    workers: Workers
    load: Annotated[int, Field(ge=0, le=100)] | None = None
    options: tuple[str, ...] | None = None


def _memory_size(value: object) -> object:
    text = str(must_be_text(value))
    share = re.fullmatch(r"([0-9]{1,3})%", text)
    if (share and int(share[1]) <= 100) or re.fullmatch(
        r"[0-9]+(\.[0-9]+)? ?([kKmMgGtTpP]?[iI]?[bB]?)", text
    ):
        return value
    raise ValueError('expected a size such as "256MB", or a share of the memory such as "50%"')


class MemoryStressor(Model):
    """Hold memory: ``size`` such as ``512MB`` or ``50%``, for each worker."""

    workers: Workers
    size: Annotated[str, BeforeValidator(_memory_size)] | None = None
    oom_score_adj: int | None = None
    time: GoDuration | None = None
    options: tuple[str, ...] | None = None


class Stressors(Model):
    """CPU, memory, or both."""

    cpu: CpuStressor | None = None
    memory: MemoryStressor | None = None

    def mistakes(self) -> Iterator[Mistake]:
        """One of them must be there."""
        if not (self.cpu or self.memory):
            yield (), "needs cpu or memory"


class StressChaosSpec(ChaosSpec):
    """CPU and memory pressure inside the pod's limits."""

    stressors: Stressors | None = None
    stressng_stressors: str | None = None
    container_names: tuple[str, ...] | None = None

    def mistakes(self) -> Iterator[Mistake]:
        """Something must be stressed."""
        yield from super().mistakes()
        if not (self.stressors or self.stressng_stressors):
            yield (), "needs stressors"


class IOMistake(Model):
    """Wrong bytes in what is read or written."""

    filling: Literal["zero", "random"]
    max_occurrences: Annotated[int, Field(ge=1)]
    max_length: Annotated[int, Field(ge=1)]


class IOChaosSpec(ChaosSpec):
    """Slow or failing files below ``volumePath``."""

    action: Literal["latency", "fault", "attrOverride", "mistake"]
    volume_path: str
    path: str | None = None
    delay: GoDuration | None = None
    errno: int | None = None
    attr: dict[str, Any] | None = None
    mistake: IOMistake | None = None
    methods: tuple[str, ...] | None = None
    percent: Annotated[int, Field(ge=0, le=100)] = 100
    container_names: tuple[str, ...] | None = None

    def mistakes(self) -> Iterator[Mistake]:
        """The action must be filled in."""
        yield from super().mistakes()
        if self.action == "fault" and not self.errno:
            yield ("errno",), "action fault needs an errno other than 0"
        if self.action == "latency" and self.delay is None:
            yield ("action",), "action latency needs the key delay"
        if self.action == "attrOverride" and self.attr is None:
            yield ("action",), "action attrOverride needs the key attr"
        if self.action == "mistake" and self.mistake is None:
            yield ("action",), "action mistake needs the key mistake"


class TimeChaosSpec(ChaosSpec):
    """A clock that is wrong by ``timeOffset``."""

    time_offset: Annotated[
        str,
        Field(
            pattern=r"^[+-]?([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$",
            description="how far off, such as -10m or 1h30m",
        ),
    ]
    clock_ids: tuple[str, ...] | None = None
    container_names: tuple[str, ...] | None = None


class HTTPReplace(Model):
    """What of a request or response is replaced."""

    path: str | None = None
    method: str | None = None
    code: int | None = None
    body: str | None = None
    queries: dict[str, str] | None = None
    headers: dict[str, str] | None = None


class HTTPBodyPatch(Model):
    """A JSON merge into the body."""

    type: Literal["JSON"]
    value: str


class HTTPPatch(Model):
    """What is added to a request or response."""

    body: HTTPBodyPatch | None = None
    queries: tuple[tuple[str, str], ...] | None = None
    headers: tuple[tuple[str, str], ...] | None = None


class HTTPTls(Model):
    """The secret with the certificate of a service that speaks TLS."""

    secret_name: str
    secret_namespace: str
    certificate_name: str
    private_key_name: str
    ca_name: str | None = None


_HTTP_METHODS: Final = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "CONNECT")


class HTTPChaosSpec(ChaosSpec):
    """Requests or responses that are aborted, delayed or changed."""

    target: Literal["Request", "Response"]
    port: Annotated[int, Field(ge=1, le=65535)]
    path: str | None = None
    method: str | None = None
    code: int | None = None
    request_headers: Annotated[dict[str, str] | None, Field(alias="request_headers")] = None
    response_headers: Annotated[dict[str, str] | None, Field(alias="response_headers")] = None
    abort: bool | None = None
    delay: GoDuration | None = None
    replace: HTTPReplace | None = None
    patch: HTTPPatch | None = None
    tls: HTTPTls | None = None

    def mistakes(self) -> Iterator[Mistake]:
        """It must do something, to requests that can be."""
        yield from super().mistakes()
        if not (self.abort or self.delay or self.replace or self.patch):
            yield (), "needs abort, delay, replace or patch"
        if self.target == "Request" and self.method is not None and self.method not in _HTTP_METHODS:
            known = ", ".join(_HTTP_METHODS)
            yield ("method",), f"expected one of {known}{nearest(self.method.upper(), _HTTP_METHODS)}"


class DNSChaosSpec(ChaosSpec):
    """Names that resolve to errors or to random addresses."""

    action: Literal["error", "random"]
    patterns: tuple[str, ...] | None = None
    container_names: tuple[str, ...] | None = None


class OtherPodSpec(ChaosSpec):
    """A kind whose own fields only the API server judges."""

    model_config = ConfigDict(extra="allow")


class OutsideSpec(Model):
    """A fault outside Kubernetes: the API server judges it whole."""

    model_config = ConfigDict(extra="allow")


class BaseFault(Model):
    """What every fault says of itself."""

    name: Name | None = None


class _PodFault(BaseFault):
    target: Target


class PodFault(_PodFault):
    """A ``PodChaos``."""

    kind: Literal["PodChaos"]
    spec: PodChaosSpec


class NetworkFault(_PodFault):
    """A ``NetworkChaos``."""

    kind: Literal["NetworkChaos"]
    spec: NetworkChaosSpec


class StressFault(_PodFault):
    """A ``StressChaos``."""

    kind: Literal["StressChaos"]
    spec: StressChaosSpec


class IOFault(_PodFault):
    """An ``IOChaos``."""

    kind: Literal["IOChaos"]
    spec: IOChaosSpec


class TimeFault(_PodFault):
    """A ``TimeChaos``."""

    kind: Literal["TimeChaos"]
    spec: TimeChaosSpec


class HTTPFault(_PodFault):
    """An ``HTTPChaos``."""

    kind: Literal["HTTPChaos"]
    spec: HTTPChaosSpec


class DNSFault(_PodFault):
    """A ``DNSChaos``."""

    kind: Literal["DNSChaos"]
    spec: DNSChaosSpec


class OtherPodFault(_PodFault):
    """A fault on pods of a kind that is not typed here."""

    kind: Literal["JVMChaos", "KernelChaos", "BlockChaos"]
    spec: OtherPodSpec


class OutsideFault(BaseFault):
    """A fault on a cloud or a physical machine; it selects no pods, so it has no target here."""

    kind: Literal["AWSChaos", "AzureChaos", "GCPChaos", "PhysicalMachineChaos"]
    spec: OutsideSpec


def _known_kind(value: object) -> object:
    kind = value.get("kind") if isinstance(value, dict) else None
    if isinstance(kind, str) and kind not in FAULT_KINDS:
        raise ValueError(f"unknown fault kind {kind!r}{nearest(kind, FAULT_KINDS)}")
    return value


Fault = Annotated[
    Annotated[
        PodFault
        | NetworkFault
        | StressFault
        | IOFault
        | TimeFault
        | HTTPFault
        | DNSFault
        | OtherPodFault
        | OutsideFault,
        Field(discriminator="kind"),
    ],
    BeforeValidator(_known_kind),
]
