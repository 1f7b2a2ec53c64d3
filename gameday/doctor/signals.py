"""Why: a run that cannot see is refused; here people learn beforehand what cannot be seen.

Prometheus, every query of platform.yaml, and Grafana with its dashboards.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from gameday.clients.answers import Unknown
from gameday.clients.grafana import WRITE_HINT, Grafana
from gameday.clients.prometheus import Prometheus
from gameday.clock import Clock
from gameday.doctor.lines import Line, State, judged
from gameday.errors import GamedayError, NotFoundError
from gameday.spec.base import format_duration
from gameday.spec.platform import Platform, Signal

PROMETHEUS: Final = "Prometheus"
GRAFANA: Final = "Grafana"

_MOST_SKEW: Final = timedelta(seconds=5)


@dataclass(frozen=True)
class SignalDoctor:
    """Asks Prometheus what a run would ask."""

    platform: Platform
    prometheus: Prometheus
    clock: Clock
    limited: Annotated[frozenset[str], "the signals without which the guardrails are blind"] = frozenset()

    async def all(self) -> list[Line]:
        """Each signal with the services that it knows, and the clock."""
        lines = await asyncio.gather(
            self._clock_skew(), *(self._signal(signal) for signal in self.platform.prometheus.signals)
        )
        return list(lines)

    async def _signal(self, signal: Signal) -> Line:
        reading = await self.prometheus.instant(signal.query)
        name = f"signal {signal.name}"
        advice = f"Try it in Prometheus: {signal.query}"
        if reading.failure is not None:
            return Line(PROMETHEUS, name, State.FAIL, str(reading.failure), advice)
        services = {one.labels.get("service", "") for one in reading.measurements} - {""}
        silent = sorted({service.name for service in self.platform.services} - services)
        return judged(
            PROMETHEUS,
            name,
            bool(services),
            f"data of {len(services)} services" + (f"; none of {', '.join(silent)}" if silent else ""),
            f"The query must be grouped by the label service. {advice}",
            otherwise=State.FAIL if signal.name in self.limited else State.WARN,
        )

    async def _clock_skew(self) -> Line:
        before = self.clock.now()
        answer = (await self.prometheus.instant("time()")).single()
        after = self.clock.now()
        if isinstance(answer, Unknown):
            return Line(PROMETHEUS, "clock", State.FAIL, str(answer), "Does Prometheus answer at all?")
        there = datetime.fromtimestamp(answer.value, UTC)
        skew = max(before - there, there - after, timedelta(0))
        return judged(
            PROMETHEUS,
            "clock",
            skew <= _MOST_SKEW,
            f"{format_duration(timedelta(seconds=round(skew.total_seconds())))} apart"
            if skew > timedelta(seconds=1)
            else "agrees with this machine's",
            "Samples would look stale, or come from the future. Synchronise the clocks (NTP).",
        )


async def grafana(client: Grafana, dashboards: tuple[str, ...], *, token: bool) -> list[Line]:
    """Grafana, the dashboards that reports link to, and with a ``token`` whether runs may mark faults."""
    try:
        version = await client.version()
    except GamedayError as error:
        # Reports link to it; no run needs it.
        return [_not_well(GRAFANA, error)]
    lines = [Line(GRAFANA, GRAFANA, State.OK, f"answers, {version}")]
    lines += [await _dashboard(client, uid) for uid in dashboards]
    return [*lines, await _annotations(client, token=token)]


async def _dashboard(client: Grafana, uid: str) -> Line:
    name = f"dashboard {uid}"
    try:
        title = await client.dashboard_title(uid)
    except NotFoundError:
        return Line(GRAFANA, name, State.WARN, "is not there", "Import it, or correct grafana.dashboards.")
    except GamedayError as error:
        return _not_well(name, error)
    return Line(GRAFANA, name, State.OK, title)


async def _annotations(client: Grafana, *, token: bool) -> Line:
    name = "annotations"
    if not token:
        found = "GAMEDAY_GRAFANA_TOKEN is not set: dashboards do not show what runs break"
        return Line(GRAFANA, name, State.SKIPPED, found)
    try:
        may = await client.may_annotate()
    except NotFoundError:
        return Line(GRAFANA, name, State.SKIPPED, "this Grafana does not tell what the token may do")
    except GamedayError as error:
        return _not_well(name, error)
    found = "the token may write them" if may else "the token may not write them: dashboards show no faults"
    return judged(GRAFANA, name, may, found, WRITE_HINT, otherwise=State.WARN)


def _not_well(name: str, error: GamedayError) -> Line:
    return Line(GRAFANA, name, State.WARN, error.message.removeprefix(f"{GRAFANA}: "), error.hint)
