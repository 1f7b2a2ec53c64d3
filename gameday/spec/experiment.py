"""Why: an experiment is a hypothesis, a steady state and stages of faults, written once and readable.

It says what should be broken and what must hold, not where: the environment and the cluster make
a plan of it (``gameday.plan``).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Literal

import promql_parser
from pydantic import Field, field_validator

from gameday.spec.base import Duration, Limit, Mistake, Model, Name, given_twice
from gameday.spec.faults import Fault

Category = Literal["basic", "advanced", "disaster-recovery"]


def check_promql(query: str) -> str:
    """Return ``query`` as it is. Raises ``ValueError`` where it is not PromQL."""
    try:
        promql_parser.parse(query)
    except ValueError as error:
        raise ValueError(f"not valid PromQL: {error}") from None
    return query


class Probe(Model):
    """A part of the steady state: one signal, judged for each service.

    Before the run and after it ``expect`` must hold. While faults are in, ``tolerate`` must (or
    ``expect``, where it is not given), except for breaches shorter than ``for``.
    """

    name: Name
    query: str | None = None
    signal: Annotated[Name, Field(description="a signal of platform.yaml, instead of a query")] | None = None
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
        if (self.query is None) == (self.signal is None):
            yield (), "give either a query or a signal of platform.yaml"


class Stage(Model):
    """Faults that act together for ``duration``, then ``settle`` with nothing injected."""

    name: Name
    title: str = ""
    duration: Duration
    settle: Duration = timedelta(0)
    faults: Annotated[tuple[Fault, ...], Field(min_length=1)]

    @field_validator("duration")
    @classmethod
    def _lasts(cls, duration: timedelta) -> timedelta:
        if duration <= timedelta(0):
            raise ValueError("must be longer than 0s: a fault always ends, but it must begin")
        return duration


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

    name: Name
    title: str
    hypothesis: str
    category: Category
    environments: Annotated[tuple[Name, ...], Field(min_length=1)]
    owner: Name
    runbook: str | None = None
    tags: tuple[Name, ...] = ()
    baseline: Annotated[Duration, Field(description="the window before the run that counts as normal")] = (
        timedelta(minutes=5)
    )
    steady_state: Annotated[tuple[Probe, ...], Field(min_length=1)]
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]
    recovery: Recovery = Recovery()

    def mistakes(self) -> Iterator[Mistake]:
        """Names are told apart by what they name."""
        yield from given_twice("stage", "stages", [stage.name for stage in self.stages])
        yield from given_twice("probe", "steadyState", [probe.name for probe in self.steady_state])

    @property
    def duration(self) -> timedelta:
        """The execution as declared: every stage with its settling."""
        return sum((stage.duration + stage.settle for stage in self.stages), timedelta(0))
