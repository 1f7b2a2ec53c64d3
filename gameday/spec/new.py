"""Why: nobody begins an experiment with an empty page, or with somebody else's to be stripped.

Makes the text of a new experiment from a template: one stage, one fault, the platform's own signals, and
what to think about beside each key. Writing it is the command's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, Literal, get_args

from jinja2 import Environment, PackageLoader, StrictUndefined

from gameday.errors import UsageError
from gameday.spec.experiment import Category
from gameday.spec.guardrails import Guardrails
from gameday.spec.platform import Measure, Platform, Service, Signal, unknown

Kind = Literal["PodChaos", "NetworkChaos", "StressChaos", "IOChaos", "TimeChaos", "HTTPChaos", "DNSChaos"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
CATEGORIES: Final[tuple[Category, ...]] = get_args(Category)


def _volume(service: Service) -> str:
    return json.dumps(service.twin.disk or "/tmp")  # noqa: S108 - a container's


def _somebody(service: Service) -> str:
    """A name that the service looks up."""
    return f"{service.calls[0]}.*" if service.calls else "*"


# A mild one of each kind, well within the guardrails that come along: what to write, and what it does.
_FAULTS: Final[Mapping[Kind, Callable[[Service], tuple[str, str]]]] = MappingProxyType(
    {
        "PodChaos": lambda _: ("{action: pod-kill, mode: one}", "One pod of {} is killed"),
        "NetworkChaos": lambda _: (
            "{action: delay, mode: one, delay: {latency: 200ms, jitter: 20ms}}",
            "One pod of {} answers 200 ms later",
        ),
        "StressChaos": lambda _: (
            "{mode: one, stressors: {cpu: {workers: 1, load: 80}}}",
            "One pod of {} is busy",
        ),
        "IOChaos": lambda service: (
            f"{{action: latency, mode: one, volumePath: {_volume(service)}, delay: 100ms, percent: 50}}",
            "Half of the file operations of one pod of {} take 100 ms longer",
        ),
        "TimeChaos": lambda _: ("{mode: one, timeOffset: -30s}", "The clock of one pod of {} is 30 s late"),
        "HTTPChaos": lambda service: (
            f'{{mode: one, target: Request, port: {service.port}, path: "*", delay: 200ms}}',
            "Requests to one pod of {} take 200 ms longer",
        ),
        "DNSChaos": lambda service: (
            f'{{action: error, mode: one, patterns: ["{_somebody(service)}"]}}',
            "One pod of {} finds nobody by name",
        ),
    }
)

# What is expected of each signal before and after, and tolerated while the fault is in.
_LIMITS: Final[Mapping[Measure, tuple[str, str]]] = MappingProxyType(
    {"availability": (">= 0.99", ">= 0.6"), "errors": ("<= 0.5", "<= 2"), "latency": ("<= 1", "<= 3")}
)

_templates = Environment(
    loader=PackageLoader("gameday.spec"),
    undefined=StrictUndefined,
    autoescape=False,  # noqa: S701 - YAML of names, not HTML
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def text_of(
    name: str,
    platform: Platform,
    guardrails: Guardrails,
    *,
    target: str | None = None,
    kind: str = "PodChaos",
    owner: str | None = None,
    category: str = "basic",
) -> str:
    """The file of a new experiment called ``name``.

    Without ``target`` it hits the service that users ask, without ``owner`` it belongs to the target's.
    Raises ``UsageError`` for a name that platform.yaml does not know, and where it has no signal to watch.
    """
    service = platform.service(target or platform.twin.entry or platform.services[0].name)
    teams = [team.name for team in platform.teams]
    if owner is not None and owner not in teams:
        raise UsageError(unknown("team", owner, teams))
    for what, given, known in (("kind", kind, KINDS), ("category", category, CATEGORIES)):
        if given not in known:
            raise UsageError(unknown(what, given, known))
    spec, title = _FAULTS[kind](service)  # type: ignore[index]  # it is one of KINDS
    return _templates.get_template("experiment.yaml.j2").render(
        name=name,
        title=title.format(service.name),
        service=service,
        kind=kind,
        spec=spec,
        owner=owner or service.owner,
        category=category,
        categories=CATEGORIES,
        environments=_environments(platform, guardrails, category),
        probes=_probes(platform, service),
        watched=_watched(platform),
    )


def _probes(platform: Platform, service: Service) -> list[tuple[Signal, str, str, str]]:
    """The steady state: a signal, what is expected of it and tolerated, and how long it may be outside."""
    # A service of one or two replicas is below 60 % until Kubernetes has replaced its pod.
    lasting = {"availability": "60s"} if service.replicas < 3 else {}
    return [
        (signal, *_LIMITS[measure], lasting.get(measure, "20s")) for measure, signal in _signals(platform)
    ]


def _signals(platform: Platform) -> list[tuple[Measure, Signal]]:
    """The signals that a steady state begins with."""
    found = [(measure, platform.measuring(measure)) for measure in _LIMITS]
    known = [(measure, signal) for measure, signal in found if signal is not None]
    if not known:
        raise UsageError(
            "platform.yaml has no signal that measures availability, errors or latency",
            hint="Say `measures: availability` beside one: a run watches something, or it may not begin.",
        )
    return known


def _watched(platform: Platform) -> tuple[Signal, str] | None:
    """What the stage shows at first: that users do not notice."""
    errors = platform.measuring("errors")
    entry = platform.twin.entry or platform.services[0].name
    return (errors, entry) if errors is not None else None


def _environments(platform: Platform, guardrails: Guardrails, category: str) -> list[str]:
    """Where such an experiment may run and nobody has to be asked; where there is no such place, all."""
    rules = [rule.environments for rule in guardrails.categories if rule.category == category]
    allowed = [one for one in platform.environments if all(one.name in rule for rule in rules)]
    free = [one.name for one in allowed if not one.approvals]
    return free or [one.name for one in allowed or platform.environments]
