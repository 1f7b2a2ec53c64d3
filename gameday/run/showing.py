"""Why: that users noticed nothing says little; a stage must show what it was made to show.

Asks Prometheus for the whole of a stage and its settling, once it has settled, and tells of each thing
that had to be seen. No data shows nothing. Where Prometheus did not answer, nobody knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from gameday.clients.answers import RangeReading, Series, Why
from gameday.plan.model import PlannedStage
from gameday.run.context import Run
from gameday.spec.base import Comparison, Model, format_duration
from gameday.spec.showing import Showing

KIND: Final = "shown"
"""The kind of an event that tells whether something was shown; its data is a ``Shown``."""

# Prometheus answers at most 11,000 points a series; this keeps far below for any stage.
_MOST_POINTS: Final = 1000
_NO_DATA: Final = frozenset({Why.EMPTY, Why.NAN})

_Points = Sequence[tuple[datetime, float]]


class Shown(Model):
    """Whether one thing was seen; ``held`` is None where there was no data, or no answer.

    ``services`` are those that did not show it; none where any of several would have been enough.
    """

    stage: str
    name: str
    held: bool | None
    evidence: str
    answered: bool = True
    services: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Window:
    """When the faults of a stage came in, when they were ended, and when its settling was over."""

    begin: datetime
    ended: datetime
    end: datetime


async def judge(run: Run, stage: PlannedStage, began: datetime) -> None:
    """Tell of everything that ``stage`` had to show; what was not is among the run's findings.

    Never raises for what Prometheus does.
    """
    window = Window(began, began + stage.duration, run.now())
    step = max(run.session.catalogue.platform.prometheus.scrape_interval, (window.end - began) / _MOST_POINTS)
    step = timedelta(seconds=max(1, round(step.total_seconds())))
    answers = await asyncio.gather(
        *(run.session.prometheus.range(str(one.query), began, window.end, step) for one in stage.must_show)
    )
    for wanted, answer in zip(stage.must_show, answers, strict=True):
        await _tell(run, judged(stage.name, wanted, answer, window))


async def _tell(run: Run, shown: Shown) -> None:
    words = {True: "shown", False: "not shown", None: "not shown, as far as could be seen"}[shown.held]
    words = words if shown.answered else "not known"
    reason = f"{shown.stage}: {shown.name}: {shown.evidence}"
    if not shown.answered:
        run.findings.unseen.append(f"{reason}; whether it was shown is not known")
    elif not shown.held:
        run.findings.missed.append(reason)
    message = f"{shown.stage}: {shown.name}: {words}: {shown.evidence}"
    await run.tell(KIND, message, **shown.model_dump(mode="json"))


def judged(stage: str, wanted: Showing, answer: RangeReading, window: Window) -> Shown:
    """What ``answer``, to the query of ``wanted``, shows."""
    if answer.failure is not None and answer.failure.reason not in _NO_DATA:
        evidence = f"Prometheus gave no answer ({answer.failure})"
        return Shown(stage=stage, name=wanted.name, held=None, evidence=evidence, answered=False)
    held, evidence, services = _judged(wanted, _by_service(wanted, answer.series), window)
    named = tuple(one for one in services if one)
    return Shown(stage=stage, name=wanted.name, held=held, evidence=evidence, services=named)


def _by_service(wanted: Showing, series: Sequence[Series]) -> dict[str, _Points]:
    """The points by service, in order of time: of those that are wanted, else of all that have some."""
    found: dict[str, list[tuple[datetime, float]]] = {name: [] for name in wanted.services}
    for one in series:
        service = one.labels.get("service", "")
        if not wanted.services or service in found:
            found.setdefault(service, []).extend(one.measured)
    return {service: sorted(points) for service, points in sorted(found.items())}


def _judged(
    wanted: Showing, points: dict[str, _Points], window: Window
) -> tuple[bool | None, str, Sequence[str]]:
    """Whether it was shown, in words, and the services that did not show it."""
    empty = [service for service, own in points.items() if not own]
    if empty or not points:
        return None, f"no data{_at(empty)}", empty
    if wanted.stays_within is not None and not wanted.services:
        # Wherever it is, it counts: the worst of all is told where all are within.
        together = [point for own in points.values() for point in own]
        held, words = _stays(wanted, wanted.stays_within, together, window)
        if held:
            return held, words, ()
    each = [(service, *_of_one(wanted, service, own, window)) for service, own in points.items()]
    any_will_do = wanted.reaches is not None and not wanted.services
    if any_will_do:
        # One is enough; where none did, all are told.
        each = [one for one in each if one[1]] or each
    failed = [(service, words) for service, held, words in each if not held]
    services = [service for service, _ in failed]
    told = "; ".join([words for _, words in failed] or [words for _, _, words in each])
    return not failed, told, () if any_will_do and len(services) > 1 else services


def _at(services: Sequence[str]) -> str:
    return f" at {', '.join(services)}" if services else ""


def _of_one(wanted: Showing, service: str, points: _Points, window: Window) -> tuple[bool, str]:
    where = f"{service}: " if service else ""
    if wanted.reaches is None:
        assert wanted.stays_within is not None
        held, words = _stays(wanted, wanted.stays_within, points, window)
    else:
        held, words = _reaches(wanted, wanted.reaches, points, window)
    return held, f"{where}{words}"


def _stays(wanted: Showing, limit: Comparison, points: _Points, window: Window) -> tuple[bool, str]:
    outside = [point for point in points if not limit.holds(point[1])]
    at, worst = _extreme(outside or points, limit, worst=True)
    if outside:
        return False, f"{_number(worst, wanted)} {_since(at, window)}, expected {limit}"
    return True, f"{'at least' if _upwards(limit) else 'at most'} {_number(worst, wanted)} ({limit})"


def _reaches(wanted: Showing, limit: Comparison, points: _Points, window: Window) -> tuple[bool, str]:
    reached = next((index for index, (_, value) in enumerate(points) if limit.holds(value)), None)
    if reached is None:
        at, best = _extreme(points, limit, worst=False)
        return False, f"at best {_number(best, wanted)} {_since(at, window)}, expected {limit}"
    at, value = points[reached]
    words = f"{_number(value, wanted)} {_since(at, window)} ({limit})"
    if wanted.returns is not None:
        held, more = _returns(wanted, wanted.returns, points[reached + 1 :], window)
        return held, f"{words}, {more}"
    if wanted.within is not None and at - window.begin > wanted.within:
        return False, f"{words}, later than {format_duration(wanted.within)}"
    return True, words


def _returns(wanted: Showing, limit: Comparison, after: _Points, window: Window) -> tuple[bool, str]:
    """Whether the last of ``after`` are all past ``limit``, and since when."""
    back: datetime | None = None
    for at, value in after:
        back = (back or at) if limit.holds(value) else None
    if back is None:
        last = f"still {_number(after[-1][1], wanted)} at the end" if after else "not seen again"
        return False, f"{last}, expected {limit}"
    words = f"back at {limit} {_since(back, window)}"
    if wanted.within is not None and back - window.ended > wanted.within:
        return False, f"{words}, later than {format_duration(wanted.within)}"
    return True, words


def _extreme(points: _Points, limit: Comparison, *, worst: bool) -> tuple[datetime, float]:
    """The point farthest from holding, or nearest to it."""
    choose = min if _upwards(limit) == worst else max
    return choose(points, key=lambda point: point[1])


def _upwards(limit: Comparison) -> bool:
    return limit.operator in {">=", ">"}


def _number(value: float, wanted: Showing) -> str:
    return f"{value:.3g}" if wanted.unit in {"", "ratio"} else f"{value:.3g} {wanted.unit}"


def _since(at: datetime, window: Window) -> str:
    """When that was, as people count: from the injection, and after the end from there."""
    after, of = (at - window.begin, "injection") if at <= window.ended else (at - window.ended, "end")
    seconds = timedelta(seconds=round(after.total_seconds()))
    return f"{format_duration(seconds)} after the {of}" if seconds else f"at the {of}"
