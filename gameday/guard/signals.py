"""Why: faults that nobody's run watches must still be ended when the platform suffers.

While anything is live, the guardrails' thresholds are sampled and judged by the very sampler and
judge of a run. No data is not good news: a signal that is unknown for longer than ``noDataGrace``
is a reason to end everything, as in a run. Nothing is asked while nothing is live.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from gameday.clients.prometheus import Prometheus
from gameday.monitor.judge import Judge, Judged, State
from gameday.monitor.sampler import Sampler, seen
from gameday.monitor.watch import Watch, threshold_watches
from gameday.spec.guardrails import Guardrails
from gameday.spec.platform import Platform


@dataclass(frozen=True, slots=True)
class Alarm:
    """Why everything must end. ``of_platform``: a threshold of the whole platform is broken."""

    reasons: tuple[str, ...]
    of_platform: bool
    blind: bool
    since: datetime


@dataclass
class Signals:
    """The platform, as the guardrails' thresholds see it."""

    sampler: Sampler
    guardrails: Guardrails
    watches: tuple[Watch, ...]
    unknown: int = 0
    over: int = 0
    sampled_at: datetime | None = None
    _judge: Judge = field(init=False)
    _since: datetime | None = None

    @classmethod
    def of(cls, prometheus: Prometheus, platform: Platform, guardrails: Guardrails) -> Signals:
        """Ask ``prometheus`` about everything that has a threshold."""
        watches = threshold_watches(platform, guardrails)
        source = platform.prometheus
        return cls(Sampler(prometheus, watches, source.job, source.scrape_interval), guardrails, watches)

    def __post_init__(self) -> None:
        self.rest()

    def rest(self) -> None:
        """Nothing is live: forget since when what was wrong, and which services there were."""
        self._judge = Judge(self.watches, self.guardrails.no_data_grace)
        self.sampler.services = {}
        self.unknown, self.over, self.sampled_at, self._since = 0, 0, None, None

    async def look(self, now: datetime) -> Alarm | None:
        """Look once, at ``now``. Never raises for what Prometheus does."""
        readings = await self.sampler.look()
        found = seen(readings)
        known = self.sampler.services
        # A service that was seen once must be seen from then on.
        self.sampler.services = {
            name: tuple(sorted({*known.get(name, ()), *found.get(name, ())})) for name in known | found
        }
        sample, _ = self._judge.judge(now, readings)
        over = sample.of(State.OVER)
        blind = [one for one in sample.of(State.UNKNOWN) if one.reason]
        self.over, self.unknown, self.sampled_at = len(over), len(sample.of(State.UNKNOWN)), now
        if not over and not blind:
            self._since = None
            return None
        self._since = self._since or now
        reasons = tuple(one.reason for one in (*over, *blind))
        return Alarm(reasons, self._any_of_platform(over), not over, self._since)

    def _any_of_platform(self, over: list[Judged]) -> bool:
        scopes = {watch.name: watch.scope for watch in self.watches}
        return any(scopes[one.reading.signal] == "platform" for one in over)
