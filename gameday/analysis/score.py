"""Why: whether a platform grows more resilient is easier to see in one number that explains itself.

Scores each service from 0 to 100 for how it stood a run: available, answering, fast, back again. What
was not seen counts neither way. In the platform's score a service weighs as much as users and other
services depend on it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Final

from gameday.analysis.budget import of_service
from gameday.analysis.model import BudgetSpent, Effect, Return, Score, ScorePart
from gameday.spec.base import format_duration
from gameday.spec.platform import Platform

_AVAILABLE, _ANSWERING, _FAST, _BACK = 30.0, 30.0, 20.0, 20.0
# No point is left where one request in ten failed, or answers took ten times as long.
_ALL_LOST_FAILED: Final = 0.1
_ALL_LOST_SLOWER: Final = 10.0
# Answers half as slow again as usual cost nothing yet.
_UNNOTICED: Final = 1.5


def scores(
    platform: Platform,
    effects: Sequence[Effect],
    budgets: Sequence[BudgetSpent],
    returns: Sequence[Return],
    timeout: timedelta,
) -> tuple[Score, ...]:
    """The platform's score, then each service's; those of which nothing was seen have none.

    ``timeout`` is how long the recovery may take.
    """
    found = []
    for service in platform.services:
        parts = [
            part
            for part in (
                _available(_effect(platform, effects, "availability", service.name)),
                _answering(of_service(budgets, service.name)),
                _fast(_effect(platform, effects, "latency", service.name)),
                _back([one for one in returns if one.service == service.name], timeout),
            )
            if part is not None
        ]
        if parts:
            found.append(_score(service.name, parts))
    return (_whole(platform, found), *found) if found else ()


def _score(service: str, parts: Sequence[ScorePart]) -> Score:
    value = 100 * sum(part.points for part in parts) / sum(part.of for part in parts)
    return Score.model_validate({"service": service, "value": round(value, 1), "parts": parts})


def _effect(platform: Platform, effects: Iterable[Effect], measure: str, service: str) -> Effect | None:
    signal = next((one.name for one in platform.prometheus.signals if one.measures == measure), None)
    return next((one for one in effects if one.signal == signal and one.service == service), None)


def _part(what: str, kept: float, of: float, why: str) -> ScorePart:
    points = round(of * min(max(kept, 0.0), 1.0), 1)
    return ScorePart.model_validate({"what": what, "points": points, "of": round(of, 1), "why": why})


def _available(effect: Effect | None) -> ScorePart | None:
    if effect is None or effect.before is None or effect.during is None:
        return None
    # The median says nothing of a short outage, the least everything: their mean is between them.
    kept = (effect.during.median + effect.during.least) / 2
    usual, worst = effect.during.median, effect.during.least
    why = f"usually {usual:.0%} of its instances answered, at the worst {worst:.0%}"
    return _part("available", kept / (effect.before.median or 1.0), _AVAILABLE, why)


def _answering(budget: BudgetSpent | None) -> ScorePart | None:
    if budget is None or budget.requests <= 0:
        return None
    share = budget.failed / budget.requests
    why = f"{share:.2%} of its requests failed"
    return _part("answering", 1 - share / _ALL_LOST_FAILED, _ANSWERING, why)


def _fast(effect: Effect | None) -> ScorePart | None:
    if effect is None or effect.before is None or effect.during is None:
        return None
    if not 0 < effect.before.median < math.inf:
        return None
    times = effect.during.p95 / effect.before.median
    if math.isinf(times):
        return _part("fast", 0.0, _FAST, "its slow answers took longer than could be measured")
    kept = 1.0
    if times > _UNNOTICED:
        kept = 1 - math.log(times / _UNNOTICED) / math.log(_ALL_LOST_SLOWER / _UNNOTICED)
    return _part("fast", kept, _FAST, f"its slow answers took {times:.1f} times as long as usual")


def _back(returns: Sequence[Return], timeout: timedelta) -> ScorePart | None:
    if not returns:
        return None
    if late := [one.stage for one in returns if one.took is None]:
        return _part("back", 0.0, _BACK, f"it was not well again in time after {', '.join(late)}")
    slowest = max((one.took for one in returns if one.took is not None), default=timedelta(0))
    again = format_duration(timedelta(seconds=round(slowest.total_seconds())))
    why = f"it was well again within {again}" if slowest >= timedelta(seconds=1) else "it never was unwell"
    return _part("back", 1 - slowest / timeout if timeout else 1.0, _BACK, why)


def _whole(platform: Platform, of_services: Sequence[Score]) -> Score:
    """Half of the points for the services that users meet, half for those behind, by who needs them."""
    weights = {service.name: 1 + len(platform.dependents(service.name)) for service in platform.services}
    called = {callee for service in platform.services for callee in service.calls}
    front = [one for one in of_services if one.service not in called]
    behind = [one for one in of_services if one.service in called]
    halves = [half for half in (front, behind) if half]
    parts = []
    for half in halves:
        whole = sum(weights[one.service] for one in half)
        for one in half:
            share = 100 / len(halves) * weights[one.service] / whole
            others = weights[one.service] - 1
            who = f"{others} other services need it" if others > 1 else "one other service needs it"
            why = f"{one.value:g} of 100; {who if others else 'users meet it'}"
            parts.append(_part(one.service, one.value / 100, share, why))
    return _score("", parts)
