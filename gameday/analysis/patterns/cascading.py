"""Why: one service that fails is a fault; its callers that fail with it are a design that lets it.

Cascading failure: a service that no fault hit answers with errors, after and because one that it calls was
hit or failed. It follows the call graph of platform.yaml, in order of onset.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import numpy as np

from gameday.analysis.patterns.onsets import Rise, Signals, Stage
from gameday.analysis.patterns.seen import Seen
from gameday.analysis.series import Values

# Of a service's answers, so many are errors; of the calls to one, so many fail.
_FAILING: Final = 0.05
_CALLS_FAILING: Final = 0.05
_IN_VAIN: Final = 0.01
_LASTING: Final = timedelta(seconds=10)
# Rates are taken over half a minute or a whole one: which of two begins first is only known so well.
_BLUR: Final = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class _Link:
    """A service that fails because of one that it calls."""

    callee: str
    first: int
    line: str


def cascades(signals: Signals, stage: Stage) -> Iterator[Seen]:
    """The services of a cascade in ``stage``, where it began among them; nothing where none failed."""
    failing = {
        one.name: rise
        for one in signals.platform.services
        if (rise := signals.rise(_failed_share(signals, one.name), stage, _FAILING, _LASTING))
    }
    reached = {
        caller: link
        for caller, rise in failing.items()
        if caller not in stage.hit and (link := _because(signals, stage, caller, rise, failing))
    }
    for caller, link in reached.items():
        rise = failing[caller]
        line = (
            f"{caller}: up to {rise.peak:.0%} of its answers were errors ({rise.usually:.0%} before), from "
            f"{signals.after_injection(rise.first, stage)}, though no fault acted on it"
        )
        sure = min(0.5 + 0.45 * min(rise.peak / 0.25, 1.0), 0.95)
        yield Seen(caller, rise.first, sure, (line, link.line))
        if link.callee not in reached:
            yield from _origin(signals, stage, link, rise, sure)


def _origin(signals: Signals, stage: Stage, link: _Link, rise: Rise, sure: float) -> Iterator[Seen]:
    """Where it began: the service whose calls failed, or what a fault hit behind it."""
    first = min(link.first, rise.first)
    if link.callee in stage.hit:
        yield Seen(link.callee, stage.first, sure, (f"{link.callee}: a fault of this stage acted on it",))
        return
    behind = [one for one in signals.behind(link.callee) if one in stage.hit]
    for one in behind:
        yield Seen(one, stage.first, sure, (f"{one}: a fault of this stage acted on it",))
    line = f"behind it, a fault of this stage acted on {' and '.join(behind)}" if behind else "it began there"
    yield Seen(link.callee, first, sure, (f"{link.callee}: {line}",))


def _failed_share(signals: Signals, service: str) -> Values | None:
    errors, requests = signals.of("errors", service), signals.of("requests", service)
    if errors is None or requests is None:
        return None
    usual = signals.usually(requests)
    if not usual > 0:
        return None
    # Where hardly anything is answered, a share of what is answered says nothing.
    share: Values = np.minimum(errors / np.fmax(requests, 0.2 * usual), 1.0)
    return share


def _because(
    signals: Signals, stage: Stage, caller: str, rise: Rise, failing: dict[str, Rise]
) -> _Link | None:
    """The one of the services that ``caller`` calls that was in trouble first, and before it."""
    latest = rise.first + round(_BLUR / signals.step)
    found = []
    for callee in signals.platform.service(caller).calls:
        for first, line in _trouble(signals, stage, caller, callee):
            begin = min(first, failing[callee].first) if callee in failing else first
            if first <= latest and begin <= latest:
                found.append(_Link(callee, stage.first if callee in stage.hit else begin, line))
    return min(found, key=lambda one: one.first, default=None)


def _trouble(signals: Signals, stage: Stage, caller: str, callee: str) -> Iterator[tuple[int, str]]:
    """What was seen of calls from ``caller`` to ``callee`` that failed."""
    failures, demand = signals.of("call-failures", callee), signals.demand(callee)
    usual = signals.usually(demand) if demand is not None else 0.0
    if failures is not None and usual > 0:
        rise = signals.rise(failures, stage, _CALLS_FAILING * usual, _LASTING)
        if rise:
            yield (
                rise.first,
                (
                    f"{callee}: up to {rise.peak:.3g} calls/s to it failed ({rise.usually:.3g} before), from "
                    f"{signals.after_injection(rise.first, stage)}, for {signals.lasted(rise)}"
                ),
            )
    opened = signals.rise(signals.of("breaker", callee), stage, 1.5, timedelta(0))
    if opened:
        yield (
            opened.first,
            f"{callee}: the circuit breaker towards it opened {signals.after_injection(opened.first, stage)}",
        )
    if signals.of("queries", callee) is None:
        return
    requests = signals.of("requests", caller)
    per = signals.usually(requests) if requests is not None else 0.0
    vain = signals.rise(signals.of("pool-timeouts", caller), stage, _IN_VAIN * per, _LASTING)
    if vain and callee in stage.hit:
        yield (
            vain.first,
            (
                f"{callee}: {caller} waited in vain for connections, up to {vain.peak:.3g}/s, from "
                f"{signals.after_injection(vain.first, stage)}"
            ),
        )
