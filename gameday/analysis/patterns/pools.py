"""Why: a pool that is too small for a slow database stops a service that has nothing wrong with it.

Connection pool exhaustion: a pool was full, requests waited for a connection, and some in vain.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import groupby
from typing import Final

import numpy as np

from gameday.analysis.patterns.onsets import LINGER, Rise, Signals, Stage, together
from gameday.analysis.patterns.seen import Seen

# Of a service's usual requests, how many must wait, and how many in vain, to be more than a moment's rush.
_WAITING: Final = 0.05
_IN_VAIN: Final = 0.01
# Where none waits in vain, one that is exhausted, not only busy now and then, is seen full by half of the
# samples, and by all of so long. Else so many see it, or so many wait.
_MOSTLY: Final = 0.5
_AT_A_STRETCH: Final = timedelta(seconds=25)
_OFTEN: Final = 0.3
_MANY_WAITING: Final = 0.25
_LASTING: Final = timedelta(seconds=10)
# A pool that a sample sees this full is full between samples.
_FULL: Final = 0.95


def exhausted(signals: Signals, stage: Stage) -> Iterator[Seen]:
    """Each service whose pools were exhausted in ``stage``."""
    for service in signals.services("pool-waits"):
        seen = _of(signals, stage, service)
        if seen is not None:
            yield seen


def _of(signals: Signals, stage: Stage, service: str) -> Seen | None:
    waits, timeouts = signals.of("pool-waits", service), signals.of("pool-timeouts", service)
    requests = signals.of("requests", service)
    per = signals.usually(requests) if requests is not None else 0.0
    if not per > 0:
        return None
    waited = signals.rise(waits, stage, _WAITING * per, _LASTING)
    vain = signals.rise(timeouts, stage, _IN_VAIN * per, _LASTING)
    first = min((one.first for one in (waited, vain) if one is not None), default=None)
    if first is None:
        return None
    after = max(one.after for one in (waited, vain) if one is not None)
    full, stretch = _full(signals, service, first, after)
    if vain is None and (full < _MOSTLY or stretch < _AT_A_STRETCH):
        return None
    many = waited is not None and waited.peak >= _MANY_WAITING * per
    recently = max(first - round(LINGER / signals.step), 0)
    meanwhile = _out_of_sight(signals, service, first, after)
    if full < _OFTEN and not many and not meanwhile and not _out_of_sight(signals, service, recently, first):
        return None
    evidence = list(_words(signals, stage, service, waited, vain, full))
    if meanwhile:
        evidence.append(f"{service}: hardly scraped meanwhile; its counters told afterwards")
    sure = together(
        [
            0.5,
            0.6 * full,
            0.6 * min(vain.peak / per / 0.05, 1.0) if vain else 0.0,
            0.2 * min(waited.peak / per / 0.3, 1.0) if waited else 0.0,
        ]
    )
    return Seen(service, first, sure, tuple(evidence))


def _full(signals: Signals, service: str, first: int, after: int) -> tuple[float, timedelta]:
    """The share of the samples that saw the fullest pool full, and how long they all did at most."""
    use = signals.of("pool-use", service)
    part = use[first:after] if use is not None else np.empty(0)
    full = part[~np.isnan(part)] >= _FULL
    if not len(full):
        return 0.0, timedelta(0)
    most = max((len(list(run)) for seen, run in groupby(full.tolist()) if seen), default=0)
    return float(full.mean()), most * signals.step


def _out_of_sight(signals: Signals, service: str, first: int, after: int) -> bool:
    """Whether the pool was hardly scraped in that time: then nobody could have seen it full."""
    use = signals.of("pool-use", service)
    if use is None:
        return True
    part = use[first:after]
    return len(part) > 0 and bool(np.isnan(part).mean() > 0.5)


def _words(
    signals: Signals, stage: Stage, service: str, waited: Rise | None, vain: Rise | None, full: float
) -> Iterator[str]:
    if full:
        yield f"{service}: its fullest connection pool was full in {full:.0%} of the samples of that time"
    if waited:
        yield (
            f"{service}: up to {waited.peak:.3g} waits/s for a connection ({waited.usually:.3g} before), "
            f"from {signals.after_injection(waited.first, stage)}, for {signals.lasted(waited)}"
        )
    if vain:
        yield (
            f"{service}: up to {vain.peak:.3g} waits/s in vain ({vain.usually:.3g} before), from "
            f"{signals.after_injection(vain.first, stage)}"
        )
