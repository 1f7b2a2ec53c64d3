"""Why: each pattern sees services one by one; a run is told of it once a stage.

One service in a pattern, and the pattern that several make.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from gameday.analysis.model import Pattern, PatternName
from gameday.analysis.patterns.onsets import Signals, Stage

# What is less sure than this is not told: more often wrong than right, it would only cost readers' trust.
_WORTH_TELLING: Final = 0.5


@dataclass(frozen=True, slots=True)
class Seen:
    """One service in a pattern: from which place of the grid on, how sure, and why."""

    service: str
    first: int
    sure: float
    evidence: tuple[str, ...]


def pattern(name: PatternName, signals: Signals, stage: Stage, found: Iterable[Seen]) -> Pattern | None:
    """The pattern in those services, in the order in which it reached them; None where nothing is sure."""
    told = sorted(
        (one for one in found if one.sure >= _WORTH_TELLING),
        # Of those that one look saw at once, what the others need comes first.
        key=lambda one: (one.first, len(signals.behind(one.service))),
    )
    if not told:
        return None
    return Pattern(
        name=name,
        sure=round(max(one.sure for one in told), 2),
        services=tuple(dict.fromkeys(one.service for one in told)),
        began=signals.at(told[0].first),
        stage=stage.name,
        evidence=tuple(dict.fromkeys(line for one in told for line in one.evidence)),
    )
