"""Why: that nobody answers at the front door, or that no rule raises an alert, is better known before a run.

Looks only at what the experiments of the environment need: one that asks for nothing here is no worse.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gameday.clients.answers import Unknown
from gameday.clients.front import Answer, FrontDoor, front_url
from gameday.clients.prometheus import Prometheus
from gameday.clock import Clock
from gameday.doctor.lines import Line, State, judged
from gameday.doctor.signals import PROMETHEUS
from gameday.errors import DeclarationError
from gameday.settings import Settings
from gameday.spec.catalogue import Catalogue
from gameday.spec.experiment import Experiment
from gameday.spec.platform import Environment
from gameday.spec.probes import HttpRequest

FRONT: Final = "front door"


def _experiments(catalogue: Catalogue, environment: Environment) -> Iterator[Experiment]:
    for path in catalogue.files:
        try:
            experiment = catalogue.load(path)
        except DeclarationError:
            continue  # `gameday validate` tells what is wrong with it
        if environment.name in experiment.environments:
            yield experiment


async def alerts(catalogue: Catalogue, environment: Environment, prometheus: Prometheus) -> list[Line]:
    """Whether there is a rule for each alert that an experiment expects."""
    users: dict[str, list[str]] = {}
    for experiment in _experiments(catalogue, environment):
        for name in sorted({one.alert for one in experiment.alerts}):
            users.setdefault(name, []).append(experiment.name)
    if not users:
        return []
    known = await prometheus.alert_rules()
    if isinstance(known, Unknown):
        advice = "Runs that expect alerts would not know whether they fire."
        return [Line(PROMETHEUS, "alerting rules", State.WARN, str(known), advice)]
    return [
        judged(
            PROMETHEUS,
            f"alert {name}",
            name in known,
            f"{'has a rule' if name in known else 'no rule raises it'}; expected by {', '.join(by)}",
            "Install deployments/prometheus/alerts.yaml, or correct expectAlerts.",
            otherwise=State.WARN,
        )
        for name, by in sorted(users.items())
    ]


async def front_door(
    settings: Settings, catalogue: Catalogue, environment: Environment, clock: Clock
) -> list[Line]:
    """Whether each request that probes and loads of experiments make is answered as it should be."""
    wanted = dict(_requests(catalogue, environment))
    url = front_url(settings, environment)
    if not wanted and url is None:
        return [Line(FRONT, FRONT, State.SKIPPED, "no experiment asks there")]
    async with FrontDoor(url, clock=clock) as front:
        return [await _asked(front, name, one) for name, one in wanted.items()] or [
            Line(FRONT, FRONT, State.SKIPPED, f"{front.url}: no experiment asks there")
        ]


def _requests(catalogue: Catalogue, environment: Environment) -> Iterator[tuple[str, HttpRequest]]:
    """What probes and loads ask, by its name, where asking changes nothing."""
    for experiment in _experiments(catalogue, environment):
        asked = [probe.http for probe in experiment.steady_state]
        for one in (*asked, experiment.load or environment.load):
            if one is not None and one.method in {"GET", "HEAD"}:
                yield f"{one.method} {one.path}", one


async def _asked(front: FrontDoor, name: str, wanted: HttpRequest) -> Line:
    answer = await front.ask(wanted)
    if isinstance(answer, Answer):
        good = wanted.good(answer.status, answer.body)
        found = f"answers {answer.status} after {answer.took.total_seconds():.3g} s"
        mend = "Probes count that as a failure: correct path, status or contains, or the platform."
        return judged(FRONT, name, good, found, mend, otherwise=State.WARN)
    advice = "Is url of the environment in platform.yaml right, and can it be reached from here?"
    return Line(FRONT, name, State.WARN, answer.why, advice)
