"""Why: an environment without users of its own shows no error; a run may bring some along.

How much load, and of what. What it may be is the guardrails' to say; sending it is
``gameday.run.load``'s.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from gameday.spec.base import Duration, format_duration
from gameday.spec.probes import HttpRequest

LoadMeasure = Literal["success", "p50", "p95", "p99", "rate", "dropped"]
"""What the load tells: docs/how-to/bring-load-along.md says each one's unit."""


class Load(HttpRequest):
    """Requests at a constant rate, whatever becomes of them, from the baseline to the end of the recovery.

    Where more than ``inFlight`` wait for their answers, those that would be sent are dropped and counted.
    """

    requests_per_second: Annotated[float, Field(gt=0)]
    in_flight: Annotated[int, Field(ge=1, le=1000, description="so many may wait for an answer")] = 100
    warm_up: Annotated[Duration, Field(description="before the steady state is judged under it")] = timedelta(
        minutes=1
    )

    @property
    def interval(self) -> timedelta:
        """From one request to the next."""
        return timedelta(seconds=1 / self.requests_per_second)

    @property
    def in_full(self) -> str:
        """What is sent and how much of it, for whoever must know exactly."""
        return (
            f"{self.requests_per_second:g} requests/s of {super().in_full}; "
            f"at most {self.in_flight} wait for an answer; {format_duration(self.warm_up)} to warm up"
        )

    def __str__(self) -> str:
        return f"{self.requests_per_second:g} requests/s of {super().__str__()}"
