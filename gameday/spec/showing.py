"""Why: a stage breaks something so that something shows: a breaker that opens and closes again.

Only what must be seen, as a condition that people can read; whether it was is for ``gameday.run.showing``.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated

from pydantic import Field, field_validator

from gameday.spec.base import Duration, Limit, Mistake, Model, Name, check_promql, format_duration


class Showing(Model):
    """What must be seen from a stage's injection to the end of its settling, or the hypothesis is disproved.

    Either ``reaches`` a limit at some moment, and with ``returns`` is past it again later and until the
    end; or ``staysWithin`` one at every moment.
    """

    name: Name
    query: str | None = None
    signal: Annotated[Name | None, Field(description="a signal of platform.yaml, instead of a query")] = None
    services: Annotated[
        tuple[Name, ...],
        Field(description="each of these; else any service for reaches, every one for staysWithin"),
    ] = ()
    reaches: Annotated[Limit | None, Field(description="must hold at some moment")] = None
    returns: Annotated[
        Limit | None, Field(description="after that must hold again, and until the settling is over")
    ] = None
    stays_within: Annotated[Limit | None, Field(description="must hold at every moment")] = None
    within: Annotated[
        Duration | None,
        Field(description="how soon: after the injection; with returns, after the end of the faults"),
    ] = None
    unit: str = ""

    @field_validator("query")
    @classmethod
    def _promql(cls, query: str | None) -> str | None:
        return check_promql(query) if query is not None else None

    @field_validator("within")
    @classmethod
    def _takes_time(cls, within: timedelta | None) -> timedelta | None:
        if within is not None and within <= timedelta(0):
            raise ValueError("must be longer than 0s: nothing is seen in no time")
        return within

    def mistakes(self) -> Iterator[Mistake]:
        """It asks one thing, of one signal."""
        if (self.query is None) == (self.signal is None):
            yield (), "give either a query or a signal of platform.yaml"
        if (self.reaches is None) == (self.stays_within is None):
            yield (), "give either reaches or staysWithin"
        elif self.reaches is None:
            for name in ("returns", "within"):
                if getattr(self, name) is not None:
                    yield (name,), f"goes with reaches; what stays within a limit has no {name!r}"

    def __str__(self) -> str:
        """For people: ``reaches >= 2, then returns <= 0 within 30s of the end of the faults``."""
        if self.reaches is None:
            return f"stays within {self.stays_within}"
        words = f"reaches {self.reaches}"
        soon = f" within {format_duration(self.within)}" if self.within is not None else ""
        if self.returns is None:
            return f"{words}{soon}"
        return f"{words}, then returns {self.returns}{soon}{' of the end of the faults' if soon else ''}"
