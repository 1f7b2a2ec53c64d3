"""Why: nobody begins an experiment with an empty page, or with somebody else's to be stripped.

Makes the text of a new experiment from a template: one stage, one fault, the platform's own signals, and
what to think about beside each key. The fault is ``mild``'s, and writing the file the command's.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, get_args

from jinja2 import Environment, PackageLoader, StrictUndefined

from gameday.errors import UsageError
from gameday.spec.experiment import Category
from gameday.spec.guardrails import Guardrails
from gameday.spec.mild import mild_fault
from gameday.spec.platform import Measure, Platform, Service, Signal, unknown

CATEGORIES: Final[tuple[Category, ...]] = get_args(Category)

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
    action: str = "",
    owner: str | None = None,
    category: str = "basic",
) -> str:
    """The file of a new experiment called ``name``.

    Without ``target`` it hits the service that users ask, without ``action`` in the way that is usual for
    the kind; without ``owner`` it belongs to the target's. Raises ``UsageError`` for a name that is not
    known, and where platform.yaml has no signal to watch.
    """
    service = platform.service(target or platform.twin.entry or platform.services[0].name)
    teams = [team.name for team in platform.teams]
    if owner is not None and owner not in teams:
        raise UsageError(unknown("team", owner, teams))
    if category not in CATEGORIES:
        raise UsageError(unknown("category", category, CATEGORIES))
    spec, title = mild_fault(kind, action, service)
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
