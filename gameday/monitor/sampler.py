"""Why: one look at the platform is one query a signal, all at the same time, and an honest answer.

Turns Prometheus's answers into readings for each service: a value, or why there is none. What they
mean is the judge's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from gameday.clients.prometheus import Measurement, Prometheus, Unknown, Why
from gameday.clients.prometheus import Reading as Answer
from gameday.monitor.judge import Reading
from gameday.monitor.watch import Watch

# A scrape can be skipped and one can be late; with a third missing, nothing is being scraped.
_SCRAPES_MISSED: Final = 3


@dataclass
class Sampler:
    """Asks for every watched signal, and for how old what Prometheus knows is.

    ``services`` names, for each signal, those that must have data. It is learned by the first look
    before a run: a service seen then that is missing later is unknown, not fine.
    """

    prometheus: Prometheus
    watches: Sequence[Watch]
    job: str
    scrape_interval: timedelta
    services: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def oldest(self) -> timedelta:
        """How old the newest scrape may be before everything counts as stale."""
        return self.scrape_interval * _SCRAPES_MISSED

    async def look(self) -> list[Reading]:
        """One reading for each signal and service. Never raises for what Prometheus does."""
        queries = list(dict.fromkeys(watch.query for watch in self.watches))
        age, answers = await asyncio.gather(
            self.prometheus.freshness(self.job),
            asyncio.gather(*(self.prometheus.instant(query) for query in queries)),
        )
        by_query = {
            query: answer.outdated(age, self.oldest) for query, answer in zip(queries, answers, strict=True)
        }
        return [reading for watch in self.watches for reading in self._readings(watch, by_query[watch.query])]

    def _readings(self, watch: Watch, answer: Answer) -> list[Reading]:
        expected = self.services.get(watch.name) or watch.services
        found = answer.by("service", expected)
        if not found:
            found = {"": answer.failure or Unknown(Why.EMPTY, "Prometheus has no such series")}
        return [_reading(watch, service, one) for service, one in sorted(found.items())]


def _reading(watch: Watch, service: str, found: Measurement | Unknown) -> Reading:
    if isinstance(found, Unknown):
        return Reading(watch.name, service, None, f"{found.reason.value}: {found.detail}")
    return Reading(watch.name, service, found.value, at=found.at)


def seen(readings: Sequence[Reading]) -> dict[str, tuple[str, ...]]:
    """By signal: the services that have a value, to be expected from now on."""
    found: dict[str, list[str]] = {}
    for reading in readings:
        if reading.value is not None:
            found.setdefault(reading.signal, []).append(reading.service)
    return {signal: tuple(services) for signal, services in found.items()}
