"""Why: a run needs many things open at once, and each must be closed again whatever happens.

Opens the clients that one environment is worked on with. Nothing is asked of them here, except
whether the cluster answers at all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from gameday.clients.chaos_mesh import ChaosMesh
from gameday.clients.front import FrontDoor, front_url
from gameday.clients.kubernetes import Cluster
from gameday.clients.prometheus import Prometheus, prometheus_url
from gameday.clients.slack import messenger
from gameday.clock import Clock
from gameday.journal.store import Journal
from gameday.run.context import Session
from gameday.settings import Settings
from gameday.spec.catalogue import Catalogue
from gameday.spec.platform import Environment


@asynccontextmanager
async def open_session(
    settings: Settings,
    catalogue: Catalogue,
    environment: Environment,
    clock: Clock,
    say: Callable[[str], None],
) -> AsyncIterator[Session]:
    """Everything that is needed to work on ``environment``; ``say`` gets messages where there is no Slack.

    Raises ``UsageError`` for what is missing in the settings, ``OutsideError`` where the cluster does
    not answer and ``JournalError`` where the journal does not.
    """
    url = prometheus_url(settings, environment)
    async with (
        Journal.open(settings.database_url) as journal,
        Cluster.connect(
            environment.context, clock=clock, call_timeout=settings.kubernetes_timeout
        ) as cluster,
        Prometheus(url, clock=clock, timeout=settings.prometheus_timeout) as prometheus,
        FrontDoor(front_url(settings, environment), clock=clock) as front,
    ):
        yield Session(
            catalogue=catalogue,
            environment=environment,
            clock=clock,
            cluster=cluster,
            chaos=ChaosMesh(cluster.api),
            prometheus=prometheus,
            messenger=messenger(settings, say),
            journal=journal,
            front=front,
            sandbox=settings.on_sandbox,
        )
