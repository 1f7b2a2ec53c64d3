"""Why: what was learned from a run has one shape, whoever works it out, keeps it or shows it.

Models only: how each is worked out is for the modules beside this one, where it is kept for the
journal, and how it looks for the report. Moments are UTC; values are in the signal's own unit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import Field

from gameday.spec.base import Duration, Model

Share = Annotated[float, Field(ge=0, le=1)]
Severity = Literal["low", "medium", "high"]
Change = Literal["worse", "better", "same", "unknown"]
PatternName = Literal[
    "cascading-failure", "resource-exhaustion", "connection-pool-exhaustion", "thundering-herd"
]


class SignalSeries(Model):
    """One signal of one service over a run, on a regular grid; None where there was no value.

    A value may be infinite: in JSON it is the text "Infinity".
    """

    signal: str
    service: str
    unit: str = ""
    query: Annotated[str, Field(description='PromQL; "" where it was sampled, or kept without')] = ""
    begin: datetime
    step: Duration
    values: tuple[float | None, ...]

    def points(self) -> Iterator[tuple[datetime, float]]:
        """The moments that have a value, in order."""
        for number, value in enumerate(self.values):
            if value is not None:
                yield self.begin + number * self.step, value

    def between(self, begin: datetime, end: datetime) -> list[float]:
        """The values from ``begin`` on and before ``end``."""
        return [value for at, value in self.points() if begin <= at < end]


class Window(Model):
    """A part of a run's time: ``before``, ``during`` or ``after`` its faults, or one stage."""

    name: str
    begin: datetime
    end: datetime

    @property
    def lasts(self) -> timedelta:
        """How long it is."""
        return self.end - self.begin


class Summary(Model):
    """The values of one window in few numbers."""

    count: int
    median: float
    p95: float
    least: float
    most: float


class Effect(Model):
    """What the faults did to one signal of one service, with how sure that is.

    ``during`` is all the time in which faults were in. ``stage`` is the one that moved the signal
    farthest: ``shift`` is its values less those before, with a confidence interval from ``low`` to
    ``high``; ``size`` is a rank effect size from -1 to 1 (Cliff's delta), with its own. None where there
    is too little data.
    """

    signal: str
    service: str
    unit: str = ""
    stage: str = ""
    before: Summary | None = None
    during: Summary | None = None
    after: Summary | None = None
    shift: float | None = None
    low: float | None = None
    high: float | None = None
    size: float | None = None
    size_low: float | None = None
    size_high: float | None = None
    change: Change = "unknown"
    back: Annotated[bool | None, Field(description="whether after is like before again")] = None
    why_unknown: str = ""

    @property
    def words(self) -> str:
        """What became of it: the change, or why that is not known; and where it has no measure."""
        words = self.why_unknown or self.change
        if self.change not in {"worse", "better"} or self.shift is None or math.isfinite(self.shift):
            return words
        past = "past every bucket or limit"
        return f"{words}, {past}" if self.shift > 0 else f"{words}: it was {past} before"


class Detection(Model):
    """How long it took until something showed that a stage's faults were in."""

    stage: str
    by: Annotated[str, Field(description="a signal and service, or an alert")]
    service: str = ""
    kind: Literal["signal", "alert"] = "signal"
    took: Duration | None = None


class Return(Model):
    """How long one service took to be well again once a stage's faults had ended; None: not in time."""

    stage: str
    service: str
    took: Duration | None = None


class BudgetSpent(Model):
    """What the run cost one service of its error budget for ``period``, at ``objective``."""

    service: str
    objective: Share
    period: Duration
    requests: float
    failed: float
    spent: Annotated[float, Field(ge=0, description="of the whole budget; above 1 is more than all")]


class Pattern(Model):
    """A failure pattern that the signals show: how sure, where, and what made it say so."""

    name: PatternName
    sure: Share
    services: Annotated[tuple[str, ...], Field(description="in the order in which it reached them")]
    began: datetime
    stage: str = ""
    evidence: tuple[str, ...]


class AlertSeen(Model):
    """One alert in the time of a run; ``took`` is from the stage's injection until it fired.

    ``stage`` is "" where an expected alert may come in any. An expected one that has no ``fired_at``
    did not fire within ``within``: nobody would have been told of the fault. ``before``: it fired already
    when the faults went in, so it tells nothing of them.
    """

    alert: str
    stage: str
    expected: bool
    services: tuple[str, ...] = ()
    fired_at: datetime | None = None
    took: Duration | None = None
    within: Annotated[Duration | None, Field(description="how soon it was expected")] = None
    required: Annotated[bool, Field(description="without it the hypothesis is disproved")] = False
    before: bool = False


class ScorePart(Model):
    """Some of a score's points, with the reason."""

    what: str
    points: float
    of: float
    why: str


class Score(Model):
    """The resilience of one service, or of the platform where ``service`` is "", from 0 to 100."""

    service: str
    value: Annotated[float, Field(ge=0, le=100)]
    parts: tuple[ScorePart, ...]


class Finding(Model):
    """One weakness, or one thing nobody knew: what broke, where, likely why, what to do, who does it.

    ``key`` is the same whenever the same experiment finds the same thing again.
    """

    key: str
    severity: Severity
    title: str
    service: str = ""
    stage: str = ""
    cause: str = ""
    sure: Share = 1.0
    evidence: tuple[str, ...] = ()
    breaks_hypothesis: bool = False
    action: Annotated[str, Field(description="what should be done about it")] = ""
    owner: Annotated[str, Field(description="a team of platform.yaml")] = ""


class Analysis(Model):
    """Everything that was learned from one run."""

    run: str
    at: datetime
    method: Annotated[str, Field(description="how effects and intervals are worked out")]
    confidence: Share = 0.95
    windows: tuple[Window, ...] = ()
    effects: tuple[Effect, ...] = ()
    detections: tuple[Detection, ...] = ()
    returns: tuple[Return, ...] = ()
    budgets: tuple[BudgetSpent, ...] = ()
    patterns: tuple[Pattern, ...] = ()
    alerts: tuple[AlertSeen, ...] = ()
    scores: tuple[Score, ...] = ()
    findings: tuple[Finding, ...] = ()
    missing: Annotated[tuple[str, ...], Field(description="what could not be worked out, and why")] = ()
