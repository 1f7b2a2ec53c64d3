"""Why: a gradual stage asks how much the platform bears; the answer is two strengths, not a verdict.

Works out the last strength that held and the first that broke, and what that means for the verdict.
It reads what the run has seen; why the run had to halt is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from gameday.journal.store import Verdict
from gameday.plan.model import PlannedStage
from gameday.run.context import Recovered, Run
from gameday.run.observe import Halt
from gameday.spec.base import Model
from gameday.spec.gradual import Step

KIND: Final = "gradual"
"""The kind of the events that tell of the steps."""


class Outcome(StrEnum):
    """What became of one step."""

    HELD = "held"
    BROKE = "broke"
    UNCLEAR = "unclear"  # the run ended in it for a reason that says nothing of the platform
    NOT_TRIED = "not tried"


class Tried(Model):
    """One strength, and what became of it; ``stage`` is its stage in the plan."""

    stage: str
    strength: str
    outcome: Outcome
    must_hold: bool


class Result(Model):
    """What a gradual stage showed: the last strength that held and the first that broke, where there are."""

    stage: str
    parameter: str
    steps: tuple[Tried, ...]
    held: str | None
    broke: str | None
    why: str = ""

    @property
    def promised(self) -> bool:
        """Whether every strength that the hypothesis speaks of held."""
        return all(one.outcome is Outcome.HELD for one in self.steps if one.must_hold)

    @property
    def promise(self) -> str:
        """The last strength that the hypothesis speaks of; "" where it speaks of all."""
        ends = not self.steps[-1].must_hold
        return [one.strength for one in self.steps if one.must_hold][-1] if ends else ""

    def __str__(self) -> str:
        held = f"held up to {self.held}" if self.held else "held at no strength"
        if self.broke:
            promise = f"; the hypothesis speaks of up to {self.promise}" if self.promise else ""
            return f"{self.parameter} {held}, broke at {self.broke}{promise}"
        unclear = [one.strength for one in self.steps if one.outcome is Outcome.UNCLEAR]
        end = f"not known at {unclear[0]}" if unclear else "the strongest that was tried"
        return f"{self.parameter} {held}, {end}"


def result(
    stages: Sequence[PlannedStage], last: str, halt: Halt | None, recovered: Recovered
) -> Result | None:
    """What the gradual stage among ``stages`` showed; None where there is none, or none was tried.

    ``last`` is the stage that was injected last: what went wrong after it is counted as its doing.
    """
    steps = [(stage.name, stage.step) for stage in stages if stage.step is not None]
    names = [name for name, _ in steps]
    if last not in names:
        return None
    reached = names.index(last)
    end = _end(halt, recovered)
    why = "; ".join(halt.reasons if halt is not None else recovered.unmet) if end is not Outcome.HELD else ""
    return of_steps(steps, [_outcome(at - reached, end) for at in range(len(steps))], why)


def of_steps(steps: Sequence[tuple[str, Step]], outcomes: Sequence[Outcome], why: str = "") -> Result:
    """The result of a gradual stage whose ``steps``, by the names of their stages, ended so."""
    tried = tuple(
        Tried.model_validate(
            {
                "stage": name,
                "strength": step.strength,
                "outcome": outcome,
                "mustHold": step.must_hold,
            }
        )
        for (name, step), outcome in zip(steps, outcomes, strict=True)
    )
    held = [one.strength for one in tried if one.outcome is Outcome.HELD]
    broke = [one.strength for one in tried if one.outcome is Outcome.BROKE]
    return Result(
        stage=steps[0][1].stage,
        parameter=steps[0][1].parameter,
        steps=tried,
        held=held[-1] if held else None,
        broke=broke[0] if broke else None,
        why=why,
    )


def _outcome(beyond: int, end: Outcome) -> Outcome:
    return Outcome.HELD if beyond < 0 else end if beyond == 0 else Outcome.NOT_TRIED


def _end(halt: Halt | None, recovered: Recovered) -> Outcome:
    """What became of the last step that was tried."""
    if halt is not None:
        return Outcome.BROKE if halt.by_signals else Outcome.UNCLEAR
    if recovered.in_time:
        return Outcome.HELD
    return Outcome.UNCLEAR if recovered.blind else Outcome.BROKE


def beyond_promise(found: Result | None, halt: Halt | None) -> bool:
    """Whether the run broke only beyond what its hypothesis speaks of: then it is not disproved by that."""
    broke = halt is not None and halt.verdict is Verdict.DISPROVED and halt.by_signals
    return broke and found is not None and found.promised


async def tell(run: Run, found: Result) -> None:
    """Write the result down."""
    message = f"Gradual {found.stage}: {found}"
    await run.tell(KIND, message, result=found.model_dump(mode="json", by_alias=True))


async def tell_held(run: Run, stage: PlannedStage) -> None:
    """Write down that a step held, as soon as that is known; nothing for a stage that is no step."""
    step = stage.step
    if step is not None:
        await run.tell(KIND, f"Step {step.number} of {step.of}, {step}: held", stage=stage.name)
