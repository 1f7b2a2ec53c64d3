"""Why: people who approve a run should read what makes it risky, line by line, not a number.

Adds up points that stand for what can go wrong, and names a level. What each level asks for stands in
guardrails.yaml; whether a plan may be carried out at all is for the rules, not for this sum.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from gameday.errors import GamedayError
from gameday.journal.past import PastRuns
from gameday.journal.store import Verdict
from gameday.safety.blast import Hit
from gameday.safety.guardrails import Violation
from gameday.safety.occasion import within
from gameday.spec.guardrails import Demand, Guardrails, Hours, Level
from gameday.spec.kinds import LASTING_KINDS
from gameday.spec.platform import Environment, Service

Grade = Literal["low", "medium", "high", "forbidden"]

# From so many points on.
_HIGH: Final = 8
_MEDIUM: Final = 4

_DEMANDS: Final[tuple[Demand, ...]] = ("nothing", "checklist", "approval", "two-approvals")

# By action, else by kind: 1 slows down, 2 breaks connections or pods, 3 breaks data or splits,
# 4 cannot be taken back by replacing a pod.
_SEVERITY: Final[Mapping[str, int]] = {
    "delay": 1,
    "duplicate": 1,
    "bandwidth": 1,
    "latency": 1,
    "StressChaos": 1,
    "TimeChaos": 1,
    "HTTPChaos": 1,
    "partition": 3,
    "fault": 3,
    "mistake": 3,
    "attrOverride": 3,
    **dict.fromkeys(LASTING_KINDS, 4),
}
_PLAIN_SEVERITY: Final = 2


@dataclass(frozen=True, slots=True)
class RiskLine:
    """One thing that counts: how many points, and why."""

    factor: str
    points: int
    why: str

    def __str__(self) -> str:
        """``+2 severity: the worst fault is pod-kill``."""
        return f"+{self.points} {self.factor}: {self.why}"


@dataclass(frozen=True, slots=True)
class Risk:
    """How risky a plan is, and why."""

    level: Grade
    points: int
    lines: tuple[RiskLine, ...]

    @property
    def summary(self) -> str:
        """``medium (5 points)``."""
        return f"{self.level} ({self.points} {'point' if self.points == 1 else 'points'})"


# What is read from a plan of a time before risks were assessed.
NOT_ASSESSED: Final = Risk("high", 0, (RiskLine("assessment", 0, "the plan was made without one"),))


@dataclass(frozen=True, slots=True)
class History:
    """What happened last time: the verdict, None where it never ran here, ``unknown`` says why not known."""

    verdict: Verdict | None = None
    ended: datetime | None = None
    unknown: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """Everything about a plan that its risk depends on."""

    environment: Environment
    faults: Sequence[Mapping[str, Any]]
    hits: Sequence[Hit]
    services: Sequence[Service]
    begins: datetime
    ends: datetime
    history: History
    violations: Collection[Violation] = ()


def assess(subject: Subject, guardrails: Guardrails) -> Risk:
    """The risk of a plan, explained."""
    lines = (
        _blast(subject.hits),
        _severity(subject.faults),
        _protection(subject),
        _environment(subject.environment, guardrails),
        _hour(subject, guardrails),
        _last_time(subject.history),
    )
    points = sum(line.points for line in lines)
    level: Grade = "high" if points >= _HIGH else "medium" if points >= _MEDIUM else "low"
    if any(violation.refuses for violation in subject.violations):
        level = "forbidden"
    return Risk(level, points, lines)


def demand(
    risk: Risk, environment: Environment, guardrails: Guardrails, violations: Iterable[Violation]
) -> Demand:
    """What must be there before the plan may be carried out: the most that anything asks for."""
    # Nobody can allow what is forbidden; until it is mended it asks for what is worst.
    level: Level = "high" if risk.level == "forbidden" else risk.level
    asked = [_DEMANDS.index(guardrails.approvals.demand(environment.name, level))]
    asked += [_DEMANDS.index("approval") for violation in violations if not violation.refuses]
    asked += [_DEMANDS.index("approval" if environment.approvals == 1 else "two-approvals")] * (
        environment.approvals > 0
    )
    return _DEMANDS[max(asked)]


async def last_time(past: PastRuns | None, experiment: str, environment: str, run: str) -> History:
    """How the last run of ``experiment`` in ``environment`` before ``run`` ended. Never raises."""
    if past is None:
        return History(unknown="there is no journal here")
    try:
        ending = await past.last(experiment, environment, but=run)
    except GamedayError as error:
        return History(unknown=error.message)
    if ending is None:
        return History()
    if ending.verdict is None:
        return History(unknown=f"run {ending.run} has no verdict: it goes on, or was cut off")
    return History(ending.verdict, ending.at)


def _blast(hits: Sequence[Hit]) -> RiskLine:
    """By the largest share of a service, and one more where a stage hits several."""
    if not hits:
        return RiskLine("blast radius", 3, "what is hit lies outside the cluster and cannot be counted")
    worst = max(hits, key=lambda hit: hit.hit / max(hit.of, 1))
    share = worst.hit / max(worst.of, 1)
    points = sum(share > bound for bound in (0.34, 0.5, 0.99))
    widest = max(hit.services for hit in hits)
    words = f"up to {worst.hit} of {worst.of} pods of {worst.service}"
    if widest > 1:
        return RiskLine("blast radius", points + 1, f"{words}; {widest} services in one stage")
    return RiskLine("blast radius", points, words)


def _severity(faults: Sequence[Mapping[str, Any]]) -> RiskLine:
    graded = [_graded(fault) for fault in faults]
    points, name = max(graded, key=lambda one: one[0])
    together = "" if len(graded) == 1 else f" of {len(graded)}"
    return RiskLine("severity", points, f"the worst fault{together} is {name}")


def _graded(fault: Mapping[str, Any]) -> tuple[int, str]:
    kind, spec = fault["kind"], fault["spec"]
    action = spec.get("action", "")
    name = f"{kind} {action}".strip()
    if kind in LASTING_KINDS:
        return _SEVERITY[kind], f"{name}, which a new pod does not end"
    return _SEVERITY.get(action, _SEVERITY.get(kind, _PLAIN_SEVERITY)), name


def _protection(subject: Subject) -> RiskLine:
    protected = [one for one in subject.violations if one.rule == "protected"]
    stateful = [service.name for service in subject.services if service.stateful]
    words = [one.what for one in protected]
    words += [f"{', '.join(stateful)} keeps data"] if stateful else []
    points = 2 * bool(protected) + bool(stateful)
    return RiskLine("protection", points, "; ".join(words) or "no service that is hit is protected")


def _environment(environment: Environment, guardrails: Guardrails) -> RiskLine:
    asks = guardrails.approvals.demand(environment.name, "low")
    if environment.approvals or asks in {"approval", "two-approvals"}:
        return RiskLine("environment", 2, f"{environment.name} asks for an approval of every run")
    return RiskLine("environment", 0, f"{environment.name} is there to be broken")


def _hour(subject: Subject, guardrails: Guardrails) -> RiskLine:
    """Whether people are there to help: by the environment's hours, else by anybody's."""
    own = [rule for rule in guardrails.hours if subject.environment.name in rule.environments]
    rules = own or list(guardrails.hours) or [Hours()]
    begins = Hours(timezone=rules[0].timezone).local(subject.begins)
    at = f"{begins:%A %H:%M} {rules[0].timezone}"
    if within(rules, subject.begins, subject.ends):
        return RiskLine("hour", 0, f"{at}, within working hours")
    return RiskLine("hour", 1, f"{at}, outside working hours")


def _last_time(history: History) -> RiskLine:
    factor, when = "last time", f" on {history.ended:%Y-%m-%d}" if history.ended else ""
    if history.unknown:
        return RiskLine(factor, 1, f"not known ({history.unknown})")
    match history.verdict:
        case None:
            return RiskLine(factor, 1, "it never ran here")
        case Verdict.HELD:
            return RiskLine(factor, 0, f"held{when}")
        case Verdict.ABORTED | Verdict.ERROR:
            return RiskLine(factor, 2, f"{history.verdict.value}{when}")
        case _:
            return RiskLine(factor, 1, f"{history.verdict.value}{when}")
