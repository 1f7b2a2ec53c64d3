"""Why: what has used up its CPU, memory, disk or workers fails all at once, and not for its own fault.

Resource exhaustion: measured against the limits of the containers, never in absolute figures. It is told
of a service whose resource a fault took on purpose, too: then it says what it came to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import numpy as np

from gameday.analysis.patterns.onsets import Rise, Signals, Stage, together
from gameday.analysis.patterns.seen import Seen
from gameday.spec.platform import Measure


@dataclass(frozen=True, slots=True)
class _Resource:
    """From which share of its limit on, and for how long, a resource is used up."""

    measure: Measure
    level: float
    lasting: timedelta
    sure: float
    words: str


_OF_LIMITS: Final = (
    _Resource("memory-peak", 0.95, timedelta(seconds=10), 0.8, "memory of its fullest container"),
    _Resource("cpu-peak", 0.95, timedelta(seconds=10), 0.8, "CPU of its busiest container"),
    _Resource("disk", 0.95, timedelta(seconds=10), 0.8, "its fullest disk"),
)
# For this long requests must wait for a worker: a queue that comes and goes is what it is there for.
_QUEUED: Final = timedelta(seconds=15)
_AT_A_STRETCH: Final = timedelta(0)
# Of the requests in it, so many wait.
_QUEUE_SHARE: Final = 0.05


def exhausted(signals: Signals, stage: Stage) -> Iterator[Seen]:
    """Each service that used up a resource in ``stage``."""
    for service in signals.platform.services:
        found = [*_limits(signals, stage, service.name), *_kills(signals, stage, service.name)]
        found += _workers(signals, stage, service.name)
        if found:
            lines = [line for _, _, line in found]
            if service.name in stage.hit:
                lines.append(f"{service.name}: a fault of this stage acted on it directly")
            yield Seen(
                service.name,
                min(first for first, _, _ in found),
                together([sure for _, sure, _ in found]),
                tuple(lines),
            )


def _limits(signals: Signals, stage: Stage, service: str) -> Iterator[tuple[int, float, str]]:
    for one in _OF_LIMITS:
        rise = signals.rise(signals.of(one.measure, service), stage, one.level, one.lasting)
        if rise:
            line = f"{service}: {one.words} at {rise.peak:.0%} of its limit ({rise.usually:.0%} before)"
            yield rise.first, one.sure, _when(signals, stage, rise, line)


def _kills(signals: Signals, stage: Stage, service: str) -> Iterator[tuple[int, float, str]]:
    rise = signals.rise(signals.of("ooms", service), stage, 0.0, timedelta(0))
    if rise:
        line = f"{service}: containers were killed for want of memory"
        yield rise.first, 0.9, _when(signals, stage, rise, line)


def _workers(signals: Signals, stage: Stage, service: str) -> Iterator[tuple[int, float, str]]:
    queue, in_flight = signals.of("queue", service), signals.of("in-flight", service)
    if queue is None:
        return
    rise = signals.rise(queue, stage, 0.0, _QUEUED, _AT_A_STRETCH)
    if rise is None:
        return
    within = (
        float(np.nanmax(in_flight[rise.first : rise.after], initial=rise.peak))
        if in_flight is not None
        else rise.peak
    )
    if rise.peak >= _QUEUE_SHARE * within:
        line = f"{service}: all workers busy, up to {rise.peak:.0f} requests waited for one"
        yield rise.first, 0.75, _when(signals, stage, rise, line)


def _when(signals: Signals, stage: Stage, rise: Rise, line: str) -> str:
    return f"{line}, from {signals.after_injection(rise.first, stage)}, for {signals.lasted(rise)}"
