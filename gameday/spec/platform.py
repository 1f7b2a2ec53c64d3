"""Why: one file says what runs, who looks after it and where it may be broken; everything asks it.

This models ``experiments/platform.yaml``. The ``twin`` blocks in it describe how the embedded
sandbox imitates each service; nothing but the sandbox reads them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, field_validator

from gameday.errors import UsageError
from gameday.spec.base import Duration, Mistake, Model, Name, check_promql, nearest
from gameday.spec.kinds import CHAOS_NAMESPACE
from gameday.spec.load import Load
from gameday.spec.twin import ServiceTwin, Traffic


class Team(Model):
    """People who own services, and where they are told."""

    name: Name
    slack: Annotated[str, Field(pattern=r"^#[a-z0-9._-]+$")]


class Objective(Model):
    """What share of a service's requests must not fail over ``period``; the rest is its error budget."""

    availability: Annotated[float, Field(gt=0, lt=1)] = 0.999
    period: Annotated[Duration, Field(gt=timedelta(0))] = timedelta(days=30)


class Service(Model):
    """One service of the platform: how its pods are found and how its health is asked."""

    name: Name
    owner: Name
    tier: Name
    labels: Annotated[dict[str, str], Field(min_length=1)]
    port: Annotated[int, Field(ge=1, le=65535)]
    health: Annotated[str, Field(pattern="^/")] | None = None
    replicas: Annotated[int, Field(ge=1)] = 1
    stateful: bool = False
    calls: tuple[Name, ...] = ()
    objective: Annotated[Objective | None, Field(description="instead of the platform's")] = None
    twin: ServiceTwin = ServiceTwin()


Measure = Literal[
    "availability",
    "errors",
    "latency",
    "requests",
    "queries",
    "in-flight",
    "queue",
    "call-failures",
    "retries",
    "breaker",
    "pool-use",
    "pool-waits",
    "pool-timeouts",
    "cache-misses",
    "restarts",
    "ooms",
    "memory",
    "memory-peak",
    "cpu",
    "cpu-peak",
    "disk",
]
"""What a signal can tell of a service; docs/reference/failure-patterns.md says each one's unit."""


class Signal(Model):
    """A named PromQL query, grouped by the label ``service``."""

    name: Name
    title: str
    query: str
    unit: str = ""
    measures: Annotated[
        Measure | None, Field(description="what it tells of a service: by this the analysis finds it")
    ] = None
    total: Annotated[
        str | None,
        Field(
            description="where `query` is a rate: its counter, by `service`; the analysis fills what could "
            "not be scraped with the mean rate by which it grew meanwhile"
        ),
    ] = None

    @field_validator("query", "total")
    @classmethod
    def _promql(cls, query: str | None) -> str | None:
        return None if query is None else check_promql(query)


class PrometheusSource(Model):
    """Where signals come from."""

    told_apart: ClassVar[Mapping[str, str]] = MappingProxyType({"signals": "signal"})

    job: str
    scrape_interval: Duration = timedelta(seconds=15)
    sample_interval: Annotated[Duration, Field(description="how often a run looks")] = timedelta(seconds=5)
    signals: tuple[Signal, ...]
    alerts: Annotated[
        bool, Field(description="note every alert in the time of a run; else only where one is expected")
    ] = False

    def mistakes(self) -> Iterator[Mistake]:
        """Signals are asked for by name, or by what they measure."""
        taken: set[Measure] = set()
        for index, signal in enumerate(self.signals):
            if signal.measures in taken:
                yield ("signals", index, "measures"), f"another signal measures {signal.measures} already"
            if signal.measures:
                taken.add(signal.measures)


class Grafana(Model):
    """Where dashboards are: reports link to them, and runs mark there what they break."""

    url: str
    dashboards: tuple[str, ...] = ()


def _front_address(value: str) -> str:
    """An address at which users come in, and nothing that only this machine or its cloud would answer."""
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("expected an address such as https://staging.example.com")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a name or a password; headers of a probe are for that")
    if parts.hostname.startswith(("169.254.", "fe80:")):
        raise ValueError("a link-local address is no platform: clouds keep their secrets there")
    return value.rstrip("/")


class Environment(Model):
    """A place to run in: which cluster, which namespace, who must agree and be told."""

    name: Name
    context: Annotated[str, Field(description="the kubeconfig context; unset: the current one")] | None = None
    namespace: str
    prometheus_url: Annotated[str, Field(description="instead of GAMEDAY_PROMETHEUS_URL")] | None = None
    url: (
        Annotated[
            str,
            AfterValidator(_front_address),
            Field(description="where users come in: for HTTP probes and load; or GAMEDAY_PLATFORM_URL"),
        ]
        | None
    ) = None
    load: Annotated[Load, Field(description="what every run here sends, where nobody else does")] | None = (
        None
    )
    channel: Annotated[str, Field(pattern=r"^#[a-z0-9._-]+$")]
    must_notify: Annotated[bool, Field(description="a run that cannot tell the channel does not start")] = (
        False
    )
    approvals: Annotated[int, Field(ge=0, description="how many people must agree")] = 0


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Say that there is no ``kind`` called ``name``, and which there is."""
    names = sorted(known)
    return f"unknown {kind} {name!r}{nearest(name, names) or '; known: ' + ', '.join(names)}"


class Platform(Model):
    """The whole of ``platform.yaml``."""

    told_apart: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"teams": "team", "services": "service", "environments": "environment"}
    )

    name: Name
    chaos_namespace: str = CHAOS_NAMESPACE
    teams: tuple[Team, ...]
    services: Annotated[tuple[Service, ...], Field(min_length=1)]
    prometheus: PrometheusSource
    grafana: Grafana | None = None
    environments: Annotated[tuple[Environment, ...], Field(min_length=1)]
    incidents: (
        Annotated[
            str, Field(pattern=r"^#[a-z0-9._-]+$", description="the channel of those who manage incidents")
        ]
        | None
    ) = None
    objective: Annotated[Objective, Field(description="of each service that has none of its own")] = (
        Objective()
    )
    twin: Traffic = Traffic()

    def mistakes(self) -> Iterator[Mistake]:
        """What is named must be there."""
        services = [service.name for service in self.services]
        teams = [team.name for team in self.teams]
        for index, service in enumerate(self.services):
            if service.owner not in teams:
                yield ("services", index, "owner"), unknown("team", service.owner, teams)
            for place, callee in enumerate(service.calls):
                if callee not in services:
                    yield ("services", index, "calls", place), unknown("service", callee, services)

    def service(self, name: str) -> Service:
        """The service called ``name``. Raises ``UsageError`` with the nearest name."""
        for service in self.services:
            if service.name == name:
                return service
        raise UsageError(unknown("service", name, (service.name for service in self.services)))

    def service_with(self, labels: Mapping[str, str]) -> str:
        """The service whose labels are among ``labels``, or ""."""
        for service in self.services:
            if all(labels.get(key) == value for key, value in service.labels.items()):
                return service.name
        return ""

    def environment(self, name: str) -> Environment:
        """The environment called ``name``. Raises ``UsageError`` with the nearest name."""
        for environment in self.environments:
            if environment.name == name:
                return environment
        raise UsageError(unknown("environment", name, (known.name for known in self.environments)))

    def signal(self, name: str) -> Signal:
        """The signal called ``name``. Raises ``UsageError`` with the nearest name."""
        for signal in self.prometheus.signals:
            if signal.name == name:
                return signal
        raise UsageError(unknown("signal", name, (signal.name for signal in self.prometheus.signals)))

    def measuring(self, measure: Measure) -> Signal | None:
        """The signal that tells ``measure`` of each service, if there is one."""
        return next((one for one in self.prometheus.signals if one.measures == measure), None)

    def dependents(self, service: str) -> tuple[str, ...]:
        """The services that call ``service``, themselves or through others, in the file's order."""
        found: set[str] = set()
        asked = [service]
        while asked:
            callee = asked.pop()
            for caller in self.services:
                if callee in caller.calls and caller.name not in found and caller.name != service:
                    found.add(caller.name)
                    asked.append(caller.name)
        return tuple(one.name for one in self.services if one.name in found)

    def team(self, name: str) -> Team | None:
        """The team called ``name``, if there is one."""
        return next((team for team in self.teams if team.name == name), None)
