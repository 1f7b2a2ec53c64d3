"""Why: clients that all ask again at once keep down what would have come back by itself.

Thundering herd: a service is asked far more often than its callers' own load explains, because calls are
repeated, or because many look up at once what the cache has lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

import numpy as np

from gameday.analysis.patterns.onsets import Rise, Signals, Stage
from gameday.analysis.patterns.seen import Seen
from gameday.analysis.series import Values

# Repeated calls, as a share of the calls that there usually are. A retry budget allows a fifth.
_REPEATED: Final = 0.45
# How many times its usual demand, on top of what more its callers had to do.
_MORE: Final = 1.5
_LASTING: Final = timedelta(seconds=10)


def herds(signals: Signals, stage: Stage) -> Iterator[Seen]:
    """Each service on which a herd ran in ``stage``."""
    for service in signals.platform.services:
        found = [*_repeated(signals, stage, service.name), *_rushed(signals, stage, service.name)]
        if found:
            first = min(rise.first for rise, _, _ in found)
            sure = max(sure for _, sure, _ in found)
            yield Seen(service.name, first, sure, tuple(line for _, _, line in found))


def _repeated(signals: Signals, stage: Stage, service: str) -> Iterator[tuple[Rise, float, str]]:
    retries, demand = signals.of("retries", service), signals.demand(service)
    usual = signals.usually(demand) if demand is not None else 0.0
    if retries is None or not usual > 0:
        return
    load = np.fmax(_load(signals, service), 1.0)
    rise = signals.rise(retries / usual / load, stage, _REPEATED, _LASTING)
    if rise:
        line = (
            f"{service}: up to {rise.peak * usual:.3g} calls/s to it were repeats, beside "
            f"{usual:.3g} calls/s usually, from {signals.after_injection(rise.first, stage)}, "
            f"for {signals.lasted(rise)}"
        )
        yield rise, _sure(rise.peak, _REPEATED), line


def _rushed(signals: Signals, stage: Stage, service: str) -> Iterator[tuple[Rise, float, str]]:
    demand = signals.demand(service)
    usual = signals.usually(demand) if demand is not None else 0.0
    callers = [one.name for one in signals.platform.services if service in one.calls]
    if demand is None or not usual > 0 or not callers:
        return
    rise = signals.rise(demand / usual / np.fmax(_load(signals, service), 1.0), stage, _MORE, _LASTING)
    if rise is None:
        return
    missing = [
        (caller, found)
        for caller in callers
        if (found := signals.rise(signals.of("cache-misses", caller), stage, 0.0, _LASTING))
    ]
    if not missing and signals.at(rise.first) < stage.end:
        return
    line = (
        f"{service}: up to {rise.peak:.2g} times its usual {usual:.3g}/s, with its callers' own load "
        f"taken off, from {signals.after_injection(rise.first, stage)}, for {signals.lasted(rise)}"
    )
    told = [
        f"{caller}: the cache left up to {found.peak:.0%} of its look-ups unanswered "
        f"({found.usually:.0%} before)"
        for caller, found in missing
    ]
    yield rise, _sure(rise.peak, _MORE), "; ".join([line, *told])


def _load(signals: Signals, service: str) -> Values:
    """How many times their usual requests the callers of a service answered: the busiest counts."""
    found = []
    for one in signals.platform.services:
        requests = signals.of("requests", one.name) if service in one.calls else None
        usual = signals.usually(requests) if requests is not None else 0.0
        if requests is not None and usual > 0:
            found.append(requests / usual)
    if not found:
        return np.ones(1)
    loads: Values = np.fmax.reduce(found)
    return loads


def _sure(peak: float, level: float) -> float:
    """Half where it is just at the level, all but certain at three times that."""
    return min(0.5 + 0.25 * (peak / level - 1), 0.98)
