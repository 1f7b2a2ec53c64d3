"""Why: a run that broke something is worth nothing until somebody knows what to mend, and whose that is.

Draws findings from what was worked out: what broke the hypothesis, where, likely why, what to do, which
team. It judges nothing anew: limits were the run's, patterns and effects are those of the modules beside.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gameday.analysis.model import (
    AlertSeen,
    BudgetSpent,
    Finding,
    Pattern,
    PatternName,
    Return,
    Severity,
)
from gameday.spec.base import Limit, format_duration
from gameday.spec.platform import Platform, Signal

_TO_DO_OF_PATTERNS: Final[Mapping[PatternName, str]] = {
    "cascading-failure": (
        "Keep the failure of {first} from its callers: a circuit breaker with an answer to fall back on, "
        "and a timeout shorter than the callers' own."
    ),
    "resource-exhaustion": (
        "Give {first} room: raise its limits or replicas, and refuse work before the limit is reached."
    ),
    "connection-pool-exhaustion": (
        "Size the connection pool of {first} for its load, end waiting for a connection early, and hold none "
        "while waiting for others."
    ),
    "thundering-herd": (
        "Let callers of {first} repeat calls later and later, with jitter and a budget, and ask once for "
        "what many miss at the same time."
    ),
}
_TO_DO_OF_MEASURES: Final = {
    "availability": "Run more replicas of {service} on different nodes, and start them faster.",
    "errors": "Let {service} answer without what failed: repeat within a budget, or fall back.",
    "latency": "Give the calls of {service} a timeout shorter than users wait, and a breaker behind it.",
    "memory": "Raise the memory limit of {service}, or bound what it keeps.",
    "memory-peak": "Raise the memory limit of {service}, or bound what it keeps.",
    "cpu": "Raise the CPU limit of {service}, add replicas, or refuse work before it is busy.",
    "cpu-peak": "Raise the CPU limit of {service}, add replicas, or refuse work before it is busy.",
    "restarts": "Find out why the containers of {service} restart, and let probes tell slow from dead.",
}
_OTHERWISE: Final = "Find out why {signal} of {service} left its limits, and run the experiment again."


@dataclass(frozen=True, slots=True)
class Broken:
    """A signal that was outside its limit for longer than allowed; ``worst`` is the farthest value.

    ``beyond`` is the strength that broke it, where the hypothesis does not speak of that strength.
    """

    signal: str
    service: str
    stage: str
    worst: float
    unit: str = ""
    limit: Limit | None = None
    guardrail: bool = False
    beyond: str = ""

    def __str__(self) -> str:
        where = self.service or "the platform"
        worst = f"{self.worst:+}" if math.isinf(self.worst) else f"{self.worst:.4g}"
        reached = f"reached {worst}{f' {self.unit}' if self.unit else ''}"
        if self.beyond:
            reached = f"broke at {self.beyond}, beyond the promise: it {reached}"
        which = "the guardrail is" if self.guardrail else "tolerated is"
        return f"{self.signal} at {where} {reached}{f'; {which} {self.limit}' if self.limit else ''}"


@dataclass(frozen=True, slots=True)
class Learned:
    """Everything that findings are drawn from."""

    experiment: str
    owner: str
    broken: Sequence[Broken] = ()
    patterns: Sequence[Pattern] = ()
    returns: Sequence[Return] = ()
    budgets: Sequence[BudgetSpent] = ()
    alerts: Sequence[AlertSeen] = ()
    shown: Sequence[Mapping[str, Any]] = ()


def findings(learned: Learned, platform: Platform) -> tuple[Finding, ...]:
    """What the run found, the gravest first."""
    drawing = _Drawing(learned, platform)
    found = [*drawing.all()]
    ranks = {"high": 0, "medium": 1, "low": 2}
    return tuple(
        sorted(found, key=lambda one: (not one.breaks_hypothesis, ranks[one.severity], one.service, one.key))
    )


class _Drawing:
    def __init__(self, learned: Learned, platform: Platform) -> None:
        self._learned = learned
        self._platform = platform
        self._owners = {service.name: service.owner for service in platform.services}
        self._signals: dict[str, Signal] = {one.name: one for one in platform.prometheus.signals}

    def all(self) -> Iterator[Finding]:
        yield from map(self._broken, self._learned.broken)
        yield from map(self._pattern, self._learned.patterns)
        yield from map(self._not_back, (one for one in self._learned.returns if one.took is None))
        yield from map(self._overspent, (one for one in self._learned.budgets if one.spent > 1))
        yield from map(self._unheard, filter(_unheard, self._learned.alerts))
        missed = [one for one in self._learned.shown if one.get("held") is not True]
        yield from map(self._not_shown, filter(_answered, missed))
        yield from map(self._not_asked, itertools.filterfalse(_answered, missed))

    def _finding(self, key: str, title: str, severity: Severity, service: str = "", **more: Any) -> Finding:
        values = {
            "key": f"{self._learned.experiment}/{key}",
            "title": title,
            "severity": severity,
            "service": service,
            "owner": self._owners.get(service, self._learned.owner),
        }
        return Finding.model_validate(values | more)

    def _broken(self, one: Broken) -> Finding:
        pattern = self._pattern_of(one.service)
        return self._finding(
            # A promise that is broken later is another thing than where the promise ends.
            f"{one.stage}/{'beyond' if one.beyond else 'broken'}/{one.signal}/{one.service}",
            str(one),
            "low" if one.beyond else "high",
            one.service,
            stage=one.stage,
            cause=self._why(pattern) if pattern else "",
            sure=pattern.sure if pattern else 1.0,
            evidence=pattern.evidence if pattern else (),
            breaksHypothesis=not one.beyond,
            # Nothing was promised there, so nobody owes anything.
            action="" if one.beyond else self._to_do(one),
        )

    def _to_do(self, one: Broken) -> str:
        signal = self._signals.get(one.signal)
        words = _TO_DO_OF_MEASURES.get((signal.measures if signal else None) or "", _OTHERWISE)
        return words.format(service=one.service or "the platform", signal=one.signal)

    def _pattern_of(self, service: str) -> Pattern | None:
        own = [one for one in self._learned.patterns if service in one.services]
        return max(own, key=lambda one: one.sure, default=None)

    @staticmethod
    def _why(pattern: Pattern) -> str:
        return f"likely {pattern.name.replace('-', ' ')}: {' -> '.join(pattern.services)}"

    def _pattern(self, one: Pattern) -> Finding:
        first = one.services[0] if one.services else ""
        services = " -> ".join(one.services) or "the platform"
        return self._finding(
            f"{one.stage}/pattern/{one.name}/{first}",
            f"{one.name.replace('-', ' ').capitalize()}{f' in {one.stage}' if one.stage else ''}: {services}",
            "high" if one.sure >= 0.8 else "medium",
            first,
            stage=one.stage,
            sure=one.sure,
            evidence=one.evidence,
            action=_TO_DO_OF_PATTERNS[one.name].format(first=first or "the platform"),
        )

    def _not_back(self, one: Return) -> Finding:
        return self._finding(
            f"{one.stage}/not-back/{one.service}",
            f"{one.service or 'The platform'} was not well again in time after {one.stage}",
            "high",
            one.service,
            stage=one.stage,
            breaksHypothesis=True,
            action=f"Find out what keeps {one.service or 'the platform'} from recovering by itself, "
            "and write into the runbook how to help it meanwhile.",
        )

    def _overspent(self, one: BudgetSpent) -> Finding:
        period = format_duration(one.period)
        failed = f"{one.failed:.0f} of {one.requests:.0f} requests failed"
        return self._finding(
            f"budget/{one.service}",
            f"The run cost {one.service} {one.spent:.1f} times its error budget of {period}",
            "medium",
            one.service,
            evidence=(f"{failed}; the objective is {one.objective:.3%}",),
            action=f"Mend what failed at {one.service} before anything is tried there again.",
        )

    def _unheard(self, one: AlertSeen) -> Finding:
        within = f" within {format_duration(one.within)}" if one.within is not None else ""
        service = one.services[0] if one.services else ""
        told = "fired too late" if one.fired_at is not None else "did not fire"
        return self._finding(
            f"{one.stage}/alert/{one.alert}",
            f"{one.alert}{f' of {service}' if service else ''} {told}: nobody would have been told{within}",
            "medium",
            service,
            stage=one.stage,
            breaksHypothesis=one.required,
            action=f"Make {one.alert} fire for this fault, or expect another alert that does.",
        )

    def _not_shown(self, one: Mapping[str, Any]) -> Finding:
        stage, name = str(one.get("stage", "")), str(one.get("name", ""))
        service = next(iter(one.get("services") or ()), "")
        return self._finding(
            f"{stage}/shown/{name}",
            f"{stage} did not show that {name}" if one.get("held") is False else f"{name}: not to be seen",
            "high",
            service,
            stage=stage,
            evidence=_evidence(one),
            breaksHypothesis=True,
            action=f"See to it that {name} holds, and run the experiment again.",
        )

    def _not_asked(self, one: Mapping[str, Any]) -> Finding:
        stage, name = str(one.get("stage", "")), str(one.get("name", ""))
        return self._finding(
            f"{stage}/not-asked/{name}",
            f"Whether {stage} showed that {name} is not known: Prometheus could not be asked",
            "low",
            stage=stage,
            evidence=_evidence(one),
        )


def _answered(shown: Mapping[str, Any]) -> bool:
    # Records that are older than this key say nothing of it.
    return bool(shown.get("answered", True))


def _evidence(shown: Mapping[str, Any]) -> tuple[str, ...]:
    told = shown.get("evidence") or ()
    return (told,) if isinstance(told, str) else tuple(map(str, told))


def _unheard(one: AlertSeen) -> bool:
    if not one.expected or one.before:
        return False
    late = one.took is not None and one.within is not None and one.took > one.within
    return one.fired_at is None or late
