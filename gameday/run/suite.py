"""Why: what a suite makes of its runs follows from rules that fit on a screen.

Holds what became of each experiment, says whether the next one may come, waits until the platform is
well in between, and draws the verdict. Carrying a run out is not done here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from gameday.clients.kubernetes import Cluster
from gameday.clock import Clock
from gameday.errors import GamedayError, StoppedError
from gameday.health import Check
from gameday.journal.store import Verdict
from gameday.plan.build import scaled
from gameday.safety.lever import read
from gameday.spec.base import format_duration
from gameday.spec.catalogue import Catalogue
from gameday.spec.suite import OnFailure, Part, Suite

_POLL: Final = timedelta(seconds=10)

# Whatever a suite says: what a person ended is not begun again, and an error is nobody's plan.
_ALWAYS_ENDS: Final = frozenset({Verdict.STOPPED, Verdict.ERROR})
_GRAVEST_FIRST: Final = (
    Verdict.ERROR,
    Verdict.STOPPED,
    Verdict.ABORTED,
    Verdict.DISPROVED,
    Verdict.REFUSED,
    Verdict.HELD,
)


def parts(suite: Suite, catalogue: Catalogue, wanted: timedelta | None = None) -> tuple[Part, ...]:
    """The experiments of ``suite`` in order; with ``wanted`` their executions take that long in all.

    Raises ``UsageError`` where one would become too short, or is not there.
    """
    found = catalogue.parts(suite, wanted)
    for one in found:
        scaled(one.experiment, one.duration)
    return found


def pause(suite: Suite, catalogue: Catalogue, environment: str) -> timedelta:
    """What passes at least between two experiments: what the suite says, or the guardrails' gap there."""
    gaps = [
        rule.between_runs
        for rule in catalogue.guardrails.gaps
        if not rule.environments or environment in rule.environments
    ]
    return max([suite.between.settle, *gaps])


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one experiment; without a verdict it was not tried."""

    experiment: str
    run: str = ""
    verdict: Verdict | None = None
    why: str = ""
    report: str = ""

    @property
    def words(self) -> str:
        """The verdict, or that there is none."""
        return self.verdict.value if self.verdict is not None else "not tried"


def goes_on(verdict: Verdict, on_failure: OnFailure) -> bool:
    """Whether the next experiment may come after one that ended with ``verdict``."""
    return verdict is Verdict.HELD or (verdict not in _ALWAYS_ENDS and on_failure == "goOn")


@dataclass
class SuiteRun:
    """One suite while it is carried out, and what is left to say of it."""

    id: str
    suite: Suite
    environment: str
    requested_by: str
    reason: str
    started_at: datetime
    outcomes: list[Outcome] = field(default_factory=list)
    cut_short: tuple[Verdict, str] | None = None
    ended_at: datetime | None = None

    def end(self, verdict: Verdict, why: str) -> None:
        """Nothing more is tried, and not because of what an experiment found; the first reason stands."""
        self.cut_short = self.cut_short or (verdict, why)

    @property
    def table(self) -> tuple[Outcome, ...]:
        """Every experiment of the suite, those that were not tried too."""
        left = self.suite.experiments[len(self.outcomes) :]
        return (*self.outcomes, *(Outcome(one.experiment) for one in left))

    @property
    def verdict(self) -> Verdict:
        """Held where all held; else why it was cut short, or the gravest of its runs'."""
        given = {one.verdict for one in self.outcomes}
        gravest = next((one for one in _GRAVEST_FIRST if one in given), Verdict.ERROR)
        if self.cut_short is None:
            return gravest
        # A suite that was cut short within a run says no less than that run.
        return min(gravest, self.cut_short[0], key=_GRAVEST_FIRST.index)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it did not hold, run by run; empty where it did."""
        failed = [one for one in self.outcomes if one.verdict is not Verdict.HELD]
        told = [f"{one.experiment} {one.words}{f' ({one.why})' if one.why else ''}" for one in failed]
        if self.cut_short is not None and not (failed and failed[-1].verdict is self.cut_short[0]):
            told.append(self.cut_short[1])
        if left := [one.experiment for one in self.table if one.verdict is None]:
            told.append(f"not tried: {', '.join(left)}")
        return tuple(told)

    def as_data(self) -> dict[str, Any]:
        """What programs are told of each experiment, in JSON's types."""
        rows = [
            {
                "experiment": one.experiment,
                "run": one.run or None,
                "verdict": one.verdict.value if one.verdict is not None else None,
                "why": one.why,
                "report": one.report or None,
            }
            for one in self.table
        ]
        return {"suite": self.id, "experiments": rows}


Tell = Callable[[str, Sequence[str]], Awaitable[None]]


@dataclass(frozen=True)
class Interval:
    """The time between two experiments of a suite.

    ``look`` examines the platform; ``must_go_on`` raises where the suite must not.
    """

    clock: Clock
    cluster: Cluster
    chaos_namespace: str
    look: Callable[[], Awaitable[list[Check]]]
    must_go_on: Callable[[], None]
    tell: Tell

    async def until_well(self, settle: timedelta, at_most: timedelta) -> tuple[str, ...]:
        """Let ``settle`` pass, then wait until all is well; answers what still is not ``at_most`` later.

        Raises ``StoppedError`` where a person called the suite off or halted everything meanwhile, and
        ``RefusedError`` where its Lease is lost.
        """
        until = self.clock.now() + settle
        while (left := until - self.clock.now()) > timedelta(0):
            await self._called_off()
            await self.clock.sleep(min(left, _POLL))
        deadline = self.clock.now() + at_most
        told = False
        while bad := await self._not_well():
            left = deadline - self.clock.now()
            if left <= timedelta(0):
                return bad
            if not told:
                await self.tell(f"Waiting up to {format_duration(left)} for the platform to be well", bad)
                told = True
            await self.clock.sleep(min(left, _POLL))
        await self.tell("The platform is well", ())
        return ()

    async def _not_well(self) -> tuple[str, ...]:
        unknown = await self._called_off()
        checks = await self.look()
        return (*unknown, *(f"{check.name}: {check.found}" for check in checks if not check.ok))

    async def _called_off(self) -> tuple[str, ...]:
        """Why it is not known whether a person halted everything; raises where one did."""
        self.must_go_on()
        try:
            state = await read(self.cluster, self.chaos_namespace)
        except GamedayError as error:
            return (f"safety lever: {error.message}",)
        if state.engaged:
            raise StoppedError(str(state))
        return ()
