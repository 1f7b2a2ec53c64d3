"""Why: a verdict that can be trusted follows from what was proved, by rules that fit on a screen.

``held`` is said only where every fault was proved in and out, the steady state was seen throughout,
and it came back. Whatever could not be proved is said with it.
"""

from __future__ import annotations

from collections.abc import Sequence

from gameday.journal.store import Verdict
from gameday.run.context import Recovered
from gameday.run.gradual import Result, beyond_promise
from gameday.run.observe import Halt
from gameday.spec.base import format_duration
from gameday.spec.experiment import Recovery


def draw(
    halt: Halt | None,
    recovered: Recovered,
    left: Sequence[str],
    wanted: Recovery,
    found: Result | None = None,
    missed: Sequence[str] = (),
    unseen: Sequence[str] = (),
) -> tuple[Verdict, tuple[str, ...]]:
    """The verdict of a run that got as far as its recovery, and why.

    ``halt`` is why execution ended early, if it did; ``left`` what may still be in the cluster;
    ``found`` what a gradual stage showed, which is told first; ``missed`` what the faults had to show
    and did not, ``unseen`` what of that could not be seen.
    """
    told = (str(found),) if found is not None else ()
    not_back: tuple[str, ...] = ()
    if not recovered.in_time:
        unmet = "; ".join(recovered.unmet) or "the steady state did not hold long enough"
        what = f"not recovered within {format_duration(wanted.timeout)}"
        if recovered.blind:
            what = "the recovery could not be seen"
        not_back = (f"{what}: {unmet}",)
    if halt is not None and not beyond_promise(found, halt):
        return halt.verdict, (*told, *halt.reasons, *missed, *not_back, *left)
    if left:
        return Verdict.ERROR, (*told, *left, *missed, *not_back)
    if missed or (not_back and not recovered.blind):
        return Verdict.DISPROVED, (*told, *missed, *not_back, *unseen)
    if not_back or unseen:
        return Verdict.ERROR, (*told, *not_back, *unseen)
    return Verdict.HELD, told
