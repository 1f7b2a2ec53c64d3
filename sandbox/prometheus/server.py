"""Why: the sandbox's process wants one thing to build and mount; here it is.

Puts store, scraper, evaluator, API and levers together over one world. It lets no time pass itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from starlette.applications import Starlette
from starlette.routing import Router

from sandbox.prometheus.alerting import Alerting
from sandbox.prometheus.api import Api
from sandbox.prometheus.levers import Levers
from sandbox.prometheus.rulefile import Group
from sandbox.prometheus.scraper import Scraper
from sandbox.prometheus.storage import Storage
from sandbox.wiring import Scrapeable
from sandbox.world import World


class Prometheus:
    """A Prometheus that lives in ``world`` and scrapes ``scrapeables``.

    ``app`` is its HTTP API, ``control`` the levers for breaking it: ``GET`` reads the state and the
    count of queries, ``PUT`` sets a fault (``{"mode": "slow", "delay": "7s"}``), ``DELETE`` mends it.
    """

    def __init__(
        self,
        world: World,
        scrapeables: Sequence[Scrapeable],
        *,
        scrape_interval_s: float = 5.0,
        rules: Sequence[Group] = (),
    ) -> None:
        """Scrape at every ``scrape_interval_s`` virtual seconds from now on.

        Where a group of ``rules`` names no interval, it is evaluated as often.
        """
        self._world = world
        self.levers = Levers()
        self.storage = Storage()
        self.scraper = Scraper(
            world,
            self.storage,
            scrapeables,
            interval_s=scrape_interval_s,
            enabled=lambda: self.levers.scraping,
        )
        self.alerting = Alerting(rules, self.storage, default_interval=timedelta(seconds=scrape_interval_s))
        self.alerting.live_in(world, self.now_ms)
        self.app: Starlette = Api(
            self.storage, self.scraper, self.levers, self.alerting, now_ms=self.now_ms
        ).app()
        self.control: Router = self.levers.router()

    def now_ms(self) -> int:
        """The world's time in milliseconds since the Unix epoch."""
        return round((self._world.epoch.timestamp() + self._world.elapsed) * 1000)
