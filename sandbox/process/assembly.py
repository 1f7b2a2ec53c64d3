"""Why: the parts know each other only by ``sandbox.wiring``; somebody has to introduce them.

Reads platform.yaml, builds the parts over one world, and mounts their APIs and their levers under
one application. It starts nothing and lets no time pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount, Router

import sandbox
from gameday.spec.loader import parse, read
from gameday.spec.platform import Platform
from sandbox.kubernetes.cluster import Cluster
from sandbox.process.activity import Activity
from sandbox.process.control import clock_routes, process_routes
from sandbox.process.options import FRONT, SLACK_TOKEN, SandboxOptions
from sandbox.process.timekeeper import Timekeeper
from sandbox.prometheus.rulefile import read_rules
from sandbox.prometheus.server import Prometheus
from sandbox.slack import Slack
from sandbox.twin.platform import Twin
from sandbox.world import World


@dataclass(frozen=True, slots=True)
class Assembly:
    """A sandbox, put together and standing still."""

    world: World
    keeper: Timekeeper
    cluster: Cluster
    activity: Activity
    context: str
    namespace: str


def assemble(
    options: SandboxOptions,
    *,
    epoch: datetime,
    url: str,
    info: Callable[[], dict[str, Any]],
    shut_down: Callable[[], None],
) -> Assembly:
    """Build everything that ``options`` ask for, to be served at ``url``, its time beginning at ``epoch``.

    Raises ``DeclarationError`` where platform.yaml or the alerting rules are wrong, ``UsageError``
    where platform.yaml does not know the environment.
    """
    root = Path(sandbox.__file__).parents[1]
    platform = parse(read(options.platform or root / "experiments" / "platform.yaml"), Platform)
    environment = platform.environment(options.environment)
    world = World(seed=options.seed, epoch=epoch)
    keeper = Timekeeper(world, options.mode, options.speed)
    twin = Twin(world, platform, namespace=environment.namespace)
    cluster = Cluster(world, platform, twin, namespace=environment.namespace)
    scrape_interval_s = platform.prometheus.scrape_interval.total_seconds()
    rules = read_rules(options.rules or root / "deployments" / "prometheus" / "alerts.yaml")
    prometheus = Prometheus(world, [twin, cluster], scrape_interval_s=scrape_interval_s, rules=rules)
    slack = Slack(
        world,
        url=f"{url}/slack",
        token=SLACK_TOKEN,
        channels=_channels(platform),
        webhook_channel=environment.channel,
    )
    doors: dict[str, Cluster | Prometheus | Slack] = {
        "kubernetes": cluster,
        "prometheus": prometheus,
        "slack": slack,
    }
    app = Starlette(routes=[Mount(f"/{name}", app=part.app) for name, part in doors.items()])
    app.mount(FRONT, twin.front)
    activity = Activity(app)
    control: list[BaseRoute] = [
        *clock_routes(keeper),
        *process_routes(info, activity, shut_down),
        *(Mount(f"/{name}", app=part.control) for name, part in doors.items()),
    ]
    app.mount("/control", Router(control))
    return Assembly(
        world=world,
        keeper=keeper,
        cluster=cluster,
        activity=activity,
        context=environment.context or environment.name,
        namespace=environment.namespace,
    )


def _channels(platform: Platform) -> list[str]:
    return [
        *(team.slack for team in platform.teams),
        *(environment.channel for environment in platform.environments),
        *([platform.incidents] if platform.incidents else []),
    ]
