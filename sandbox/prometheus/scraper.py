"""Why: what the platform shows is only known to the tool once it has been scraped.

Scrapes every target at each interval of the virtual time, as Prometheus does: ``up`` and
``scrape_*`` of each, the target's labels on each sample (a sample's own label of the same name
becomes ``exported_…``), and staleness marks where a series or a target is gone. It leaves queries
to ``promql``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sandbox.prometheus.exposition import Exposition, Layout
from sandbox.prometheus.labels import NAME, Labels
from sandbox.prometheus.storage import Series, Storage
from sandbox.wiring import Scrapeable, ScrapeTarget
from sandbox.world import World

# What a scrape of a small Go service takes; a target that does not answer takes the whole timeout.
_SCRAPE_DURATION_S = 0.004

# Longer than any run with its baseline; a sandbox that stays up for days must not grow with them.
RETENTION_S = 6 * 3600.0
_FORGET_EVERY_S = 1800.0

TargetKey = tuple[str, str, tuple[tuple[str, str], ...]]


@dataclass(slots=True)
class _Known:
    """What the last scrape of a target left behind."""

    target: ScrapeTarget
    own: tuple[Series, Series, Series]
    block: Exposition | None = None
    layout: Layout = ()
    series: Sequence[Series] = ()
    scraped_at: int = 0


class Scraper:
    """Appends the samples of several ``Scrapeable`` parts to a ``Storage``."""

    def __init__(
        self,
        world: World,
        storage: Storage,
        scrapeables: Sequence[Scrapeable],
        *,
        interval_s: float,
        enabled: Callable[[], bool] = lambda: True,
    ) -> None:
        """Scrape at every ``interval_s`` virtual seconds from now on, first one interval from now."""
        self._world = world
        self._storage = storage
        self._scrapeables = tuple(scrapeables)
        self._known: dict[TargetKey, _Known] = {}
        self.interval_s = interval_s
        self._enabled = enabled
        world.every(interval_s, self._beat)
        world.every(_FORGET_EVERY_S, self._forget)

    def _beat(self) -> None:
        if self._enabled():
            self.scrape()

    def _forget(self) -> None:
        self._storage.forget_before(self._now_ms() - round(RETENTION_S * 1000))

    def _now_ms(self) -> int:
        return round((self._world.epoch.timestamp() + self._world.elapsed) * 1000)

    def scrape(self) -> None:
        """Scrape every target now."""
        time = self._now_ms()
        gone = set(self._known)
        for scrapeable in self._scrapeables:
            for target in scrapeable.scrape():
                key = (target.job, target.instance, tuple(sorted(target.labels.items())))
                gone.discard(key)
                self._take(key, target, time)
        for key in gone:
            known = self._known.pop(key)
            _end(known.series, time)
            _end(known.own, time)

    def _take(self, key: TargetKey, target: ScrapeTarget, time: int) -> None:
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = _Known(target, self._own_series(target))
        elif known.scraped_at == time:
            return
        before, known.target = known.target, target
        known.scraped_at = time
        # The same target object as before has the same samples: no need to take them apart again.
        block = known.block if known.block is not None and target is before else _block(target)
        if block.layout is not known.layout and block.layout != known.layout:
            fresh = self._resolve(target, block.layout)
            kept = set(map(id, fresh))
            _end((series for series in known.series if id(series) not in kept), time)
            known.layout, known.series = block.layout, fresh
        known.block = block
        for series, value in zip(known.series, block.values, strict=True):
            series.times.append(time)
            series.values.append(value)
        up, duration, count = known.own
        up.append(time, 1.0 if target.healthy else 0.0)
        duration.append(time, _SCRAPE_DURATION_S if target.healthy else min(10.0, self.interval_s))
        count.append(time, float(len(block.values)))

    def _own_series(self, target: ScrapeTarget) -> tuple[Series, Series, Series]:
        names = ("up", "scrape_duration_seconds", "scrape_samples_scraped")
        up, duration, count = (self._series(target, name, {}) for name in names)
        return up, duration, count

    def _resolve(self, target: ScrapeTarget, layout: Layout) -> list[Series]:
        return [self._series(target, name, labels) for name, labels in layout]

    def _series(self, target: ScrapeTarget, name: str, labels: Mapping[str, str]) -> Series:
        of_target = {**target.labels, "job": target.job, "instance": target.instance}
        own = {f"exported_{key}" if key in of_target else key: value for key, value in labels.items()}
        return self._storage.series(Labels.of({**own, **of_target, NAME: name}))

    def targets(self) -> list[tuple[ScrapeTarget, int]]:
        """Each target of the last scrape, and when that was (milliseconds since the Unix epoch)."""
        return [(known.target, known.scraped_at) for known in self._known.values()]


def _block(target: ScrapeTarget) -> Exposition:
    samples = target.samples if target.healthy else ()
    return samples if isinstance(samples, Exposition) else Exposition.of(samples)


def _end(ended: Iterable[Series], time: int) -> None:
    for series in ended:
        series.mark_stale(time)
