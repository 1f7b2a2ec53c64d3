"""Why: the limits stand in one file, and every part that enforces one reads it here.

This models ``experiments/guardrails.yaml``: the plan's check, the monitor, the guard and the
admission policy are made from it. Who compares what with it, and when, is theirs to decide.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from gameday.spec.base import Duration, Limit, Mistake, Model, Name, nearest
from gameday.spec.kinds import FAULT_KINDS

Level = Literal["low", "medium", "high"]
"""How risky a plan is; what is worse than high is forbidden."""

Demand = Literal["nothing", "checklist", "approval", "two-approvals"]
"""What must be there before a plan of some risk may be carried out."""

Scope = Literal["service", "platform"]
"""What a threshold looks at: each service by itself, or the mean of all."""

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri")
_LAST_MINUTE: Final = time(23, 59)


def _timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, KeyError):
        hint = nearest(value, available_timezones())
        raise ValueError(f"expected a timezone such as Europe/Berlin{hint}") from None
    return value


def _time_of_day(value: object) -> object:
    """To the letter: 9 would be nine seconds, and the zone stands in ``timezone``."""
    if isinstance(value, str) and not re.fullmatch("[0-9]{2}:[0-9]{2}(:[0-9]{2})?", value):
        raise ValueError('expected a time of day in quotes, such as "09:00"; its zone stands in timezone')
    if not isinstance(value, str | time):
        raise ValueError('expected a time of day in quotes, such as "09:00"')  # noqa: TRY004 - for pydantic
    return value


def _calendar_day(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        raise ValueError('expected a day such as "2026-12-18"')
    if not isinstance(value, str | date):
        raise ValueError('expected a day such as "2026-12-18"')  # noqa: TRY004 - for pydantic
    return value


def _percent(value: object) -> object:
    return value.strip().removesuffix("%") if isinstance(value, str) else value


# Docker's units, which Chaos Mesh reads sizes by: every prefix is a power of 1,024.
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(?:([kKmMgGtT])i?)?[bB]?")
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def parse_size(text: str) -> int:
    """Bytes of a size such as ``512MB`` or ``1GiB``, as Chaos Mesh reads it. Raises ``ValueError``."""
    match = _SIZE.fullmatch(text.strip())
    if not match:
        raise ValueError('expected a size such as "512MB" or "1GiB"')
    return int(float(match[1]) * 1024 ** _POWERS[(match[2] or "").lower()])


# What Chaos Mesh calls the actions of its kinds on pods and in the clouds.
_ACTIONS: Final = (
    *("pod-kill", "pod-failure", "container-kill"),
    *("netem", "delay", "loss", "duplicate", "corrupt", "partition", "bandwidth"),
    *("latency", "fault", "attrOverride", "mistake", "error", "random"),
    *("return", "exception", "stress", "gc", "ruleData", "mysql", "limit"),
    *("ec2-stop", "ec2-restart", "detach-volume", "vm-stop", "vm-restart", "disk-detach"),
    *("node-stop", "node-reset", "disk-loss"),
)
_EVERY_FAULT: Final = "*"


def _fault_name(value: str) -> str:
    known = (*FAULT_KINDS, *_ACTIONS, _EVERY_FAULT)
    if value not in known:
        hint = nearest(value, known)
        raise ValueError(f"expected a kind such as PodChaos, an action such as pod-kill, or '*'{hint}")
    return value


def _size(value: object) -> object:
    return parse_size(value) if isinstance(value, str) else value


Percent = Annotated[
    float,
    BeforeValidator(_percent),
    Field(gt=0, le=100),
    WithJsonSchema({"type": ["number", "string"], "examples": ["50%", 50]}),
]
Size = Annotated[
    int,
    BeforeValidator(_size),
    Field(ge=1),
    WithJsonSchema({"type": ["string", "integer"], "examples": ["512MB", "1GiB"]}),
]
FaultNames = Annotated[
    tuple[Annotated[str, AfterValidator(_fault_name)], ...],
    Field(min_length=1, description="kinds (PodChaos) or actions (pod-kill); '*' is all"),
]
TimeOfDay = Annotated[time, BeforeValidator(_time_of_day)]
CalendarDay = Annotated[date, BeforeValidator(_calendar_day)]
Timezone = Annotated[str, AfterValidator(_timezone)]
Environments = Annotated[tuple[Name, ...], Field(description="where the rule holds; left out: everywhere")]


class Threshold(Model):
    """A signal of platform.yaml and the limit past which a run is aborted."""

    signal: Name
    abort_when: Limit
    breach_for: Annotated[Duration, Field(alias="for")] = timedelta(0)
    for_small: Annotated[
        Duration | None,
        Field(description="instead of `for`, where one replica less of a service is past the limit already"),
    ] = None
    scope: Annotated[
        Scope,
        Field(description="service: each by itself; platform: the mean of all services, unknown if one is"),
    ] = "service"


class Namespaces(Model):
    """Where faults may be; with ``allowed`` empty, wherever it is not forbidden."""

    allowed: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()

    def mistakes(self) -> Iterator[Mistake]:
        """Nothing is both."""
        for index, name in enumerate(self.allowed):
            if name in self.forbidden:
                yield ("allowed", index), f"namespace {name!r} is forbidden, too"


class BlastRadius(Model):
    """How much of one service the faults of a stage may hit together."""

    share: Annotated[Percent, Field(description="of the service's pods, rounded up to a whole pod")] = 100.0
    untouched_ready: Annotated[
        int, Field(ge=0, description="ready replicas that no fault may touch; a lone replica is exempt")
    ] = 0
    environments: Environments = ()


class Strength(Model):
    """How strong a fault may be, by Chaos Mesh's own measures; what is left out is not limited."""

    cpu_workers: Annotated[int, Field(ge=1)] | None = None
    cpu_load: Percent | None = None
    memory: Annotated[Size, Field(description="of one worker times the workers")] | None = None
    latency: Annotated[Duration, Field(description="of NetworkChaos, IOChaos and HTTPChaos")] | None = None
    loss: Annotated[Percent, Field(description="of packets, HTTP requests aborted")] | None = None
    corrupt: Percent | None = None
    duplicate: Percent | None = None
    disk: Annotated[Percent, Field(description="of I/O operations that a fault touches")] | None = None
    time_offset: Duration | None = None


class Protection(Model):
    """A service that some faults may not hit, or only with an approval."""

    service: Name
    faults: FaultNames
    unless: Literal["never", "approved"] = "approved"
    environments: Environments = ()


class DestructiveFaults(Model):
    """Faults that need an approval wherever the rule holds, whatever they hit."""

    faults: FaultNames
    environments: Environments = ()


class CategoryRule(Model):
    """In which environments experiments of a category may run."""

    category: Literal["basic", "advanced", "disaster-recovery"]
    environments: Annotated[tuple[Name, ...], Field(min_length=1)]


class Hours(Model):
    """When runs may take place: outside of all of an environment's hours, they may not."""

    environments: Environments = ()
    days: Annotated[tuple[Day, ...], Field(min_length=1)] = WEEKDAYS
    opens: Annotated[TimeOfDay, Field(alias="from")] = time(9)
    closes: Annotated[TimeOfDay, Field(alias="to")] = time(17)
    timezone: Timezone = "UTC"

    def mistakes(self) -> Iterator[Mistake]:
        """A day's hours do not cross midnight."""
        if self.opens >= self.closes:
            yield ("to",), "expected a time of day after 'from'; write two rules for a night"

    def local(self, moment: datetime) -> datetime:
        """``moment`` as the clock on the wall shows it there."""
        return moment.astimezone(ZoneInfo(self.timezone))

    def contain(self, moment: datetime) -> bool:
        """Whether ``moment`` lies within these hours."""
        return self.until(moment) is not None

    def until(self, moment: datetime) -> datetime | None:
        """When the hours that ``moment`` lies in are over; None where it lies in none.

        Hours that close in the last minute of a day last to its end.
        """
        local = self.local(moment)
        day = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")[local.weekday()]
        all_day = self.closes >= _LAST_MINUTE
        if day not in self.days or local.time() < self.opens or (local.time() >= self.closes and not all_day):
            return None
        if all_day:
            return local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0) + timedelta(days=1)
        return datetime.combine(local.date(), self.closes, local.tzinfo).replace(fold=local.fold)


class Freeze(Model):
    """Days on which nothing runs; both ends belong to it."""

    name: str
    first: Annotated[CalendarDay, Field(alias="from")]
    last: Annotated[CalendarDay, Field(alias="to")]
    timezone: Timezone = "UTC"
    environments: Environments = ()

    def mistakes(self) -> Iterator[Mistake]:
        """It ends after it began."""
        if self.last < self.first:
            yield ("to",), "expected a day that is not before 'from'"

    def meets(self, begins: datetime, ends: datetime) -> bool:
        """Whether any moment from ``begins`` to ``ends`` lies within the freeze."""
        zone = ZoneInfo(self.timezone)
        return self.first <= ends.astimezone(zone).date() and begins.astimezone(zone).date() <= self.last


class LoadRule(Model):
    """How much load an experiment may bring along; where no rule holds, none but the environment's own."""

    requests_per_second: Annotated[float, Field(gt=0, description="at most")]
    environments: Environments = ()


class Gap(Model):
    """How long a service is left alone after a run that hit it."""

    between_runs: Duration
    environments: Environments = ()


class RiskRule(Model):
    """What a risk asks for."""

    low: Demand = "nothing"
    medium: Demand = "checklist"
    high: Demand = "approval"


class Approvals(Model):
    """Who may say yes, what is asked of them, and how long they have."""

    approvers: Annotated[
        tuple[Name, ...],
        Field(description="teams of platform.yaml; the owner of a service that is hit may, too"),
    ] = ()
    demands: Annotated[
        dict[Name, RiskRule],
        Field(description="by environment; one that is not named asks as the default does"),
    ] = Field(default_factory=dict)
    waits: Annotated[Duration, Field(description="for an answer, then the run is refused")] = timedelta(
        minutes=30
    )
    proposal_valid: Annotated[Duration, Field(description="how long an approved proposal may be used")] = (
        timedelta(days=7)
    )

    def demand(self, environment: str, level: Level) -> Demand:
        """What a plan of this risk needs in ``environment``."""
        demanded: Demand = getattr(self.demands.get(environment, RiskRule()), level)
        return demanded


class Admission(Model):
    """What the API server asks of every chaos object beyond the limits."""

    run_label_in: Annotated[
        tuple[str, ...],
        Field(description="namespaces where an object without the label of a run is refused"),
    ] = ()


class Guardrails(Model):
    """All limits of the platform."""

    thresholds: Annotated[tuple[Threshold, ...], Field(min_length=1)]
    no_data_grace: Annotated[
        Duration, Field(description="how long a signal may be unknown while faults are in")
    ] = timedelta(seconds=30)
    monitoring_required: Annotated[
        bool, Field(description="a run that hits a service which its steady state does not watch is refused")
    ] = True
    experiments_at_once: Annotated[int, Field(ge=1)] = 1
    max_fault_duration: Duration = timedelta(minutes=30)
    max_run_duration: Duration = timedelta(hours=1)
    gaps: tuple[Gap, ...] = ()
    load: tuple[LoadRule, ...] = ()
    namespaces: Namespaces = Namespaces()
    blast_radius: tuple[BlastRadius, ...] = ()
    strength: Strength = Strength()
    protected: tuple[Protection, ...] = ()
    destructive: tuple[DestructiveFaults, ...] = ()
    categories: tuple[CategoryRule, ...] = ()
    hours: tuple[Hours, ...] = ()
    freezes: tuple[Freeze, ...] = ()
    approvals: Approvals = Approvals()
    admission: Admission = Admission()
