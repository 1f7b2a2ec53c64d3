"""Why: the same few failures happen everywhere, each with a remedy of its own, so they have names.

Looks for the four failure patterns in the signals of a run, by what they measure. Everything is held
against the time before the faults and against limits; docs/reference/failure-patterns.md says how each is
recognised and how well that works.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gameday.analysis.model import Pattern, SignalSeries, Window
from gameday.analysis.patterns import cascading, herd, pools, resources
from gameday.analysis.patterns.onsets import Signals
from gameday.analysis.patterns.seen import pattern
from gameday.spec.platform import Platform


def find(
    series: Sequence[SignalSeries],
    windows: Sequence[Window],
    platform: Platform,
    *,
    hit: Mapping[str, Sequence[str]],
) -> tuple[Pattern, ...]:
    """The patterns that the signals show, by stage and then by when they began.

    ``windows`` are ``before``, ``during``, ``after`` and one by the name of each stage; ``hit`` says which
    services the faults of a stage touched.
    """
    signals = Signals(series, windows, platform, hit)
    found = [
        one
        for stage in signals.stages
        for one in (
            pattern("cascading-failure", signals, stage, cascading.cascades(signals, stage)),
            pattern("resource-exhaustion", signals, stage, resources.exhausted(signals, stage)),
            pattern("connection-pool-exhaustion", signals, stage, pools.exhausted(signals, stage)),
            pattern("thundering-herd", signals, stage, herd.herds(signals, stage)),
        )
        if one is not None
    ]
    return tuple(sorted(found, key=lambda one: (one.began, one.name)))
