"""Why: a team that said beforehand what would happen learns most from what did.

What a rehearsal on the twin foretells of an experiment, and how that compares with a real run. Pure: who
rehearses, and where predictions are kept, is not known here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, Final

from pydantic import Field

from gameday.analysis.model import Analysis, Change, Effect, PatternName
from gameday.journal.store import Verdict
from gameday.spec.base import Model

_BROKEN: Final = frozenset({Verdict.DISPROVED, Verdict.ABORTED})
_TELLING: Final = frozenset({"worse", "better"})


class SignalAhead(Model):
    """What a signal of a service is foretold to do: medians before, during and after; and its worst."""

    signal: str
    service: str
    unit: str = ""
    before: float | None = None
    during: float | None = None
    after: float | None = None
    worst: float | None = None
    change: Change = "unknown"


class PatternAhead(Model):
    """A failure pattern that is foretold, and whom it reaches."""

    name: PatternName
    services: tuple[str, ...]


class Prediction(Model):
    """What a rehearsal foretells. ``twin`` says what the twin was made from, line by line."""

    experiment: str
    environment: str
    digest: Annotated[str, Field(description="of the plan that was rehearsed")]
    at: datetime
    seed: int
    twin: tuple[str, ...]
    verdict: Verdict
    why: str = ""
    breaches: tuple[str, ...] = ()
    signals: tuple[SignalAhead, ...] = ()
    patterns: tuple[PatternAhead, ...] = ()
    recovered_s: float | None = None
    missing: Annotated[tuple[str, ...], Field(description="what could not be foretold")] = ()

    @property
    def breach(self) -> bool:
        """Whether the steady state breaks, or a guardrail is passed."""
        return self.verdict in _BROKEN

    @property
    def moved(self) -> tuple[SignalAhead, ...]:
        """The signals that change."""
        return tuple(one for one in self.signals if one.change in _TELLING)


def signals_of(effects: Iterable[Effect]) -> tuple[SignalAhead, ...]:
    """The effects of a run as what they foretell of the next."""
    return tuple(
        SignalAhead(
            signal=one.signal,
            service=one.service,
            unit=one.unit,
            before=one.before.median if one.before else None,
            during=one.during.median if one.during else None,
            after=one.after.median if one.after else None,
            worst=_worst(one),
            change=one.change,
        )
        for one in effects
    )


def _worst(effect: Effect) -> float | None:
    if effect.before is None or effect.during is None:
        return None
    usual = effect.before.median
    return max(effect.during.least, effect.during.most, key=lambda value: abs(value - usual))


def breaches_of(analysis: Analysis) -> tuple[str, ...]:
    """What broke the hypothesis, in words."""
    return tuple(one.title for one in analysis.findings if one.breaks_hypothesis)


def patterns_of(analysis: Analysis) -> tuple[PatternAhead, ...]:
    """The patterns without what made somebody see them."""
    return tuple(PatternAhead(name=one.name, services=one.services) for one in analysis.patterns)


class ComparedSignal(Model):
    """A signal as it was foretold and as it was; ``agrees`` None where one of them is not known."""

    signal: str
    service: str
    unit: str = ""
    predicted: float | None
    happened: float | None
    predicted_change: Change
    change: Change
    agrees: bool | None


class Compared(Model):
    """A prediction beside what happened."""

    prediction: Prediction
    same_plan: bool
    verdict: Verdict
    verdict_agrees: bool
    breach: bool
    breach_agrees: bool
    breaches: tuple[str, ...] = ()
    patterns: tuple[PatternAhead, ...] = ()
    patterns_agree: bool
    recovered_s: float | None = None
    signals: Annotated[
        tuple[ComparedSignal, ...], Field(description="those that moved, or were said to; disagreement first")
    ] = ()
    agreed: int
    of: int

    @property
    def in_short(self) -> str:
        """How good the prediction was, in one sentence."""
        said = "a breach" if self.prediction.breach else "no breach"
        came = "there was one" if self.breach else "there was none"
        right = "rightly" if self.breach_agrees else "wrongly"
        plan = "" if self.same_plan else "; the plan is another by now"
        signals = f"of {self.of} signals that could be compared, {self.agreed} did what it said"
        if not self.of:
            signals = "no signal has values enough to be compared"
        return f"The rehearsal said {said}, {right}: {came}; {signals}{plan}."


def compare(
    prediction: Prediction,
    analysis: Analysis,
    verdict: Verdict,
    *,
    digest: str | None,
    recovered_s: float | None,
) -> Compared:
    """``prediction`` beside the run of ``analysis``, which ended as ``verdict``."""
    rows = _rows(prediction.signals, signals_of(analysis.effects))
    known = [one for one in rows if one.agrees is not None]
    telling = [one for one in rows if {one.change, one.predicted_change} & _TELLING]
    telling.sort(key=lambda one: (one.agrees is not False, one.signal, one.service))
    patterns = patterns_of(analysis)
    breach = verdict in _BROKEN
    return Compared.model_validate(
        {
            "prediction": prediction,
            "samePlan": digest == prediction.digest,
            "verdict": verdict,
            "verdictAgrees": verdict is prediction.verdict,
            "breach": breach,
            "breachAgrees": breach == prediction.breach,
            "breaches": breaches_of(analysis),
            "patterns": patterns,
            "patternsAgree": {one.name for one in patterns} == {one.name for one in prediction.patterns},
            "recoveredS": recovered_s,
            "signals": telling,
            "agreed": sum(one.agrees is True for one in known),
            "of": len(known),
        }
    )


def _rows(ahead: Sequence[SignalAhead], seen: Sequence[SignalAhead]) -> list[ComparedSignal]:
    said = {(one.signal, one.service): one for one in ahead}
    came = {(one.signal, one.service): one for one in seen}
    rows = []
    for key in sorted({*said, *came}):
        first, second = said.get(key), came.get(key)
        changes = (first.change if first else "unknown", second.change if second else "unknown")
        rows.append(
            ComparedSignal.model_validate(
                {
                    "signal": key[0],
                    "service": key[1],
                    "unit": one.unit if (one := first or second) else "",
                    "predicted": first.during if first else None,
                    "happened": second.during if second else None,
                    "predictedChange": changes[0],
                    "change": changes[1],
                    "agrees": None if "unknown" in changes else changes[0] == changes[1],
                }
            )
        )
    return rows
