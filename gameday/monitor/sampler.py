"""Why: one look at the platform is one question for all signals, of one moment, and an honest answer.

Turns Prometheus's answers into readings for each service: a value, or why there is none. What is asked
elsewhere at the same time is for ``probes``; what it all means is the judge's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from gameday.clients.answers import Measurement, Unknown, Why
from gameday.clients.answers import Reading as Answer
from gameday.clients.prometheus import Prometheus, newest_scrape
from gameday.monitor.judge import Reading
from gameday.monitor.probes import Probes
from gameday.monitor.watch import Watch

# A scrape can be skipped and one can be late; with a third missing, nothing is being scraped.
_SCRAPES_MISSED: Final = 3


@dataclass
class Sampler:
    """Asks for every watched signal, and for how old what Prometheus knows is.

    ``services`` names, for each signal, those that must have data. Every look adds those that it
    sees: a service that was there once and is missing later is unknown, not fine.
    """

    prometheus: Prometheus
    watches: Sequence[Watch]
    job: str
    scrape_interval: timedelta
    services: dict[str, tuple[str, ...]] = field(default_factory=dict)
    probes: Probes | None = None

    @property
    def oldest(self) -> timedelta:
        """How old the newest scrape may be before everything counts as stale."""
        return self.scrape_interval * _SCRAPES_MISSED

    async def look(self) -> list[Reading]:
        """One reading for each signal and service. Never raises for what is asked."""
        found = await asyncio.gather(self._in_prometheus(), *map(self.look_at, self.beside))
        return [reading for readings in found for reading in readings]

    @property
    def beside(self) -> list[Watch]:
        """What is not asked of Prometheus, which therefore knows nothing of the time before."""
        return [watch for watch in self.watches if not watch.query]

    async def look_at(self, watch: Watch) -> list[Reading]:
        """The readings of one of those; a service that was there once is never missing in silence."""
        if self.probes is None:
            return [Reading(watch.name, "", None, "only a run asks for it")]
        readings = await self.probes.look(watch, self.services.get(watch.name) or watch.services)
        self.services[watch.name] = tuple(one.service for one in readings)
        return readings

    async def _in_prometheus(self) -> list[Reading]:
        newest = newest_scrape(self.job)
        watches = [watch for watch in self.watches if watch.query]
        answers = await self.prometheus.instants([newest, *(watch.query for watch in watches)])
        age = self.prometheus.age(self.job, answers[newest])
        by_query = {query: answer.outdated(age, self.oldest) for query, answer in answers.items()}
        return [reading for watch in watches for reading in self._readings(watch, by_query[watch.query])]

    def _readings(self, watch: Watch, answer: Answer) -> list[Reading]:
        found = answer.by("service", self.services.get(watch.name) or watch.services)
        self.services[watch.name] = tuple(found)
        if not found:
            found = {"": answer.failure or Unknown(Why.EMPTY, "Prometheus has no such series")}
        if watch.scope == "platform":
            return [_mean(watch, found)]
        return [_reading(watch, service, one) for service, one in sorted(found.items())]


def _reading(watch: Watch, service: str, found: Measurement | Unknown) -> Reading:
    if isinstance(found, Unknown):
        return Reading(watch.name, service, None, f"{found.reason.value}: {found.detail}")
    return Reading(watch.name, service, found.value, at=found.at)


def _mean(watch: Watch, found: Mapping[str, Measurement | Unknown]) -> Reading:
    """The platform's reading: the mean of all services, unknown as soon as one of them is."""
    values = []
    for service, one in sorted(found.items()):
        if isinstance(one, Unknown):
            where = f"{service}: " if service else ""
            return Reading(watch.name, "", None, f"{where}{one.reason.value}: {one.detail}")
        values.append(one)
    oldest = min(one.at for one in values)
    # Not ``fmean``, which raises where the infinite meets its opposite: that is NaN, hence unknown.
    mean = sum(one.value for one in values) / len(values)
    return Reading(watch.name, "", mean, at=oldest, mean_of=tuple(sorted(found)))


def seen(readings: Sequence[Reading]) -> dict[str, tuple[str, ...]]:
    """By signal: the services that have a value, to be expected from now on."""
    found: dict[str, list[str]] = {}
    for reading in readings:
        if reading.value is not None:
            found.setdefault(reading.signal, []).extend(reading.mean_of or (reading.service,))
    return {signal: tuple(services) for signal, services in found.items()}
