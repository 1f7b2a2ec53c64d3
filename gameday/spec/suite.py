"""Why: experiments that belong together run one after another, as one thing that holds or does not.

A suite names experiments of the same catalogue and says what is waited for between two of them, and
what becomes of the rest when one fails. How it is carried out is the flow ``run-suite``'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from gameday.spec.base import Duration, Mistake, Model, Name
from gameday.spec.experiment import Category, Experiment, Frequency

OnFailure = Literal["stop", "goOn"]


class Member(Model):
    """One experiment of a suite."""

    experiment: Annotated[Name, Field(description="an experiment of the same catalogue")]
    duration: Annotated[
        Duration | None, Field(description="its whole execution is stretched or shrunk to this")
    ] = None

    def mistakes(self) -> Iterator[Mistake]:
        """It must take some time."""
        if self.duration is not None and self.duration <= timedelta(0):
            yield ("duration",), "must be longer than 0s"


class Between(Model):
    """What is waited for between two experiments: ``settle`` passes, then the platform must be well.

    One that is not well within ``timeout`` more ends the suite.
    """

    settle: Duration = timedelta(seconds=30)
    timeout: Duration = timedelta(minutes=10)


class Suite(Model):
    """A file of ``experiments/`` that lists others."""

    name: Name
    title: str
    category: Category
    environments: Annotated[tuple[Name, ...], Field(min_length=1)]
    owner: Name
    tags: tuple[Name, ...] = ()
    frequency: Annotated[Frequency, Field(description="how often it should be run")] = "on-demand"
    on_failure: Annotated[
        OnFailure, Field(description="what becomes of the rest when one is disproved, aborted or refused")
    ] = "stop"
    between: Between = Between()
    experiments: Annotated[tuple[Member, ...], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class Part:
    """One experiment of a suite, and how long its whole execution is to take; None: as declared."""

    experiment: Experiment
    duration: timedelta | None

    @property
    def takes(self) -> timedelta:
        """Its whole execution."""
        return self.duration or self.experiment.duration


def takes(parts: Iterable[Part]) -> timedelta:
    """The executions of all of them together."""
    return sum((one.takes for one in parts), timedelta(0))
