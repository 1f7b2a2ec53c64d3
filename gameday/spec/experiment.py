"""Why: an experiment is a hypothesis, a steady state and stages of faults, written once and readable.

It says what should be broken and what must hold, not where: the environment and the cluster make
a plan of it (``gameday.plan``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field, field_validator

from gameday.spec.alerts import ExpectedAlert
from gameday.spec.base import Duration, Limit, Mistake, Model, Name, check_promql
from gameday.spec.faults import Fault
from gameday.spec.gradual import (
    Gradual,
    Step,
    chosen,
    with_strength,
    wrong_choice,
    wrong_path,
    wrong_strengths,
)
from gameday.spec.load import Load, LoadMeasure
from gameday.spec.probes import HttpProbe, KubernetesProbe
from gameday.spec.showing import Showing

# A step adds its number to the name of its stage.
_LONGEST_OF_STEPS: Final = 37

Category = Literal["basic", "advanced", "disaster-recovery"]
Frequency = Literal["weekly", "every-second-week", "monthly", "quarterly", "on-demand"]


class Probe(Model):
    """A part of the steady state: one signal, judged for each service.

    Before the run and after it ``expect`` must hold. While faults are in, ``tolerate`` must (or
    ``expect``, where it is not given), except for breaches shorter than ``for``.
    """

    name: Name
    query: str | None = None
    signal: Annotated[Name, Field(description="a signal of platform.yaml, instead of a query")] | None = None
    http: Annotated[HttpProbe, Field(description="requests to the environment's url, instead")] | None = None
    kubernetes: Annotated[KubernetesProbe, Field(description="objects of the cluster, instead")] | None = None
    load: Annotated[LoadMeasure, Field(description="what the run's own load tells, instead")] | None = None
    expect: Limit
    tolerate: Limit | None = None
    breach_for: Annotated[Duration, Field(alias="for")] = timedelta(seconds=10)
    services: Annotated[tuple[Name, ...], Field(description="only these; else all that have data")] = ()
    unit: str = ""

    @field_validator("query")
    @classmethod
    def _promql(cls, query: str | None) -> str | None:
        return check_promql(query) if query is not None else None

    def mistakes(self) -> Iterator[Mistake]:
        """It asks one thing."""
        sources = (self.query, self.signal, self.http, self.kubernetes, self.load)
        if sum(source is not None for source in sources) != 1:
            words = (
                "give either a query or a signal of platform.yaml, or http, kubernetes or load, and only one"
            )
            yield (), words
        if self.load is not None and self.services:
            yield ("services",), "the load is of no service"
        if self.http is not None and self.services:
            yield ("services",), "a request has one service at most: http.service"

    @property
    def source(self) -> str:
        """Where its values come from, for people."""
        if self.signal is not None:
            return f"signal {self.signal}"
        if self.load is not None:
            return f"{self.load} of the load"
        if self.http is not None:
            return f"{self.http.measures} of {self.http}"
        return str(self.kubernetes or self.query)


class Stage(Model):
    """Faults that act together for ``duration``, then ``settle`` with nothing injected.

    With ``gradual`` it stands for one stage a strength, each with that duration and settling.
    """

    told_apart: ClassVar[Mapping[str, str]] = MappingProxyType({"mustShow": "thing to show"})

    name: Name
    title: str = ""
    duration: Duration
    settle: Duration = timedelta(0)
    faults: Annotated[tuple[Fault, ...], Field(min_length=1)]
    gradual: Gradual | None = None
    expect_alerts: Annotated[
        tuple[ExpectedAlert, ...], Field(description="alerts that must fire once these faults are in")
    ] = ()
    must_show: Annotated[
        tuple[Showing, ...], Field(description="what must be seen of it, or the hypothesis is disproved")
    ] = ()

    @field_validator("duration")
    @classmethod
    def _lasts(cls, duration: timedelta) -> timedelta:
        if duration <= timedelta(0):
            raise ValueError("must be longer than 0s: a fault always ends, but it must begin")
        return duration

    def mistakes(self) -> Iterator[Mistake]:
        """What grows must be there, and be possible at each strength."""
        if self.gradual is None:
            return
        if self.expect_alerts:
            yield (
                ("expectAlerts",),
                "a gradual stage is many; what must fire in one of them stands beside stages",
            )
        if self.must_show:
            yield ("mustShow",), "a gradual stage is many; what it shows is how much the platform bears"
        if len(self.name) > _LONGEST_OF_STEPS:
            yield (
                ("name",),
                f"a gradual stage has at most {_LONGEST_OF_STEPS} characters: its steps add a number",
            )
        which = chosen(self.faults, self.gradual)
        if which is None:
            place, words = wrong_choice(self.faults, self.gradual)
            yield ("gradual", *place), words
        elif words := wrong_path(self.faults[which].spec, self.gradual.parameter):
            yield ("gradual", "parameter"), words
        else:
            for place, words in wrong_strengths(self.faults[which], self.gradual):
                yield ("gradual", *place), words

    @property
    def steps(self) -> tuple[tuple[Stage, Step | None], ...]:
        """The stages that this one stands for: itself, or one a strength."""
        gradual = self.gradual
        which = chosen(self.faults, gradual) if gradual is not None else None
        if gradual is None or which is None:
            return ((self, None),)
        return tuple(self._step(gradual, which, number) for number in range(1, len(gradual.strengths) + 1))

    def _step(self, gradual: Gradual, which: int, number: int) -> tuple[Stage, Step]:
        strength = gradual.strengths[number - 1]
        faults = list(self.faults)
        faults[which] = with_strength(faults[which], gradual.parameter, strength)
        step = Step.model_validate(
            {
                "stage": self.name,
                "parameter": gradual.parameter,
                "strength": str(strength),
                "number": number,
                "of": len(gradual.strengths),
                "mustHold": number <= gradual.must_hold,
            }
        )
        own = {
            "name": f"{self.name}-{number}",
            "title": f"{self.title or self.name}: {step}",
            "faults": tuple(faults),
            "gradual": None,
        }
        return self.model_copy(update=own), step


class Recovery(Model):
    """When the platform counts as recovered: every ``expect`` holds for ``stableFor`` within ``timeout``."""

    timeout: Duration = timedelta(minutes=5)
    stable_for: Duration = timedelta(seconds=30)

    def mistakes(self) -> Iterator[Mistake]:
        """It must be possible."""
        if self.stable_for > self.timeout:
            yield ("stableFor",), "stableFor must not be longer than timeout"


class Experiment(Model):
    """One file of ``experiments/``."""

    told_apart: ClassVar[Mapping[str, str]] = MappingProxyType({"stages": "stage", "steadyState": "probe"})

    name: Name
    title: str
    hypothesis: str
    category: Category
    environments: Annotated[tuple[Name, ...], Field(min_length=1)]
    owner: Name
    runbook: str | None = None
    frequency: Annotated[Frequency, Field(description="how often it should be run")] = "on-demand"
    tags: tuple[Name, ...] = ()
    baseline: Annotated[Duration, Field(description="the window before the run that counts as normal")] = (
        timedelta(minutes=5)
    )
    steady_state: Annotated[tuple[Probe, ...], Field(min_length=1)]
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]
    recovery: Recovery = Recovery()
    expect_alerts: Annotated[
        tuple[ExpectedAlert, ...], Field(description="alerts that must fire in some stage")
    ] = ()
    load: Annotated[Load, Field(description="requests that the run itself sends")] | None = None

    def mistakes(self) -> Iterator[Mistake]:
        """A gradual stage is the last, and its steps have names of their own."""
        for index, stage in enumerate(self.stages):
            if stage.gradual is not None and index < len(self.stages) - 1:
                # The step that breaks ends the run: what follows would never be tried.
                yield ("stages", index, "gradual"), "only the last stage can be gradual"
        steps = {step.name for step, of in self.unfolded if of is not None}
        for index, stage in enumerate(self.stages):
            if stage.name in steps:
                yield ("stages", index, "name"), f"a step of the gradual stage is called {stage.name!r}, too"

    @property
    def unfolded(self) -> tuple[tuple[Stage, Step | None], ...]:
        """The stages as they are carried out: a gradual one is one stage a strength."""
        return tuple(step for stage in self.stages for step in stage.steps)

    @property
    def alerts(self) -> tuple[ExpectedAlert, ...]:
        """Every alert that is expected, in whatever stage."""
        of_stages = (one for stage in self.stages for one in stage.expect_alerts)
        return (*of_stages, *self.expect_alerts)

    @property
    def duration(self) -> timedelta:
        """The execution as declared: every stage with its settling."""
        return sum((stage.duration + stage.settle for stage, _ in self.unfolded), timedelta(0))
