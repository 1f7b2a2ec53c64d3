"""Why: whether a run goes on is decided by rules that can be read, tested and trusted, nothing else.

Pure: it sees samples in the order of their times and says what they mean. It asks nobody, waits for
nothing and ends nothing. No data is never good news: it is ``unknown``, and after a grace period
it aborts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from gameday.monitor.watch import Watch
from gameday.spec.base import Comparison, format_duration


class State(StrEnum):
    """What one reading means while faults are in."""

    OK = "ok"
    BREACH = "breach"  # outside the tolerance, not yet for long enough
    BROKEN = "broken"  # outside the tolerance for long enough: the hypothesis is disproved
    OVER = "over"  # past a guardrail's threshold: abort
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Reading:
    """One signal of one service at one moment: a value, or why there is none. NaN is none."""

    signal: str
    service: str
    value: float | None
    unknown: str = ""
    at: datetime | None = None
    mean_of: tuple[str, ...] = ()  # the services, where it is the platform's

    def __post_init__(self) -> None:
        if self.value is not None and math.isnan(self.value):
            object.__setattr__(self, "value", None)
            object.__setattr__(self, "unknown", self.unknown or "not a number")

    @property
    def text(self) -> str:
        """The value for people, or why there is none."""
        if self.value is None:
            return f"unknown ({self.unknown})"
        return f"{self.value:+}" if math.isinf(self.value) else f"{self.value:.3g}"


_UNITS: Final = {"": "", "ratio": "", "requests/s": "/s"}


def figure(value: float | str, unit: str) -> str:
    """A value with its unit, as people read it; out of the journal, infinite ones come as text."""
    number = float(value)
    if math.isinf(number):
        return f"{number:+}"
    # ``g`` alone would write 1234 as 1.23e+03.
    digits = f"{number:.0f}" if abs(number) >= 1000 else f"{number:.3g}"
    return digits + _UNITS.get(unit, f" {unit}")


@dataclass(frozen=True, slots=True)
class Judged:
    """A reading with what it means and the limit that decided so."""

    reading: Reading
    state: State
    limit: Comparison | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """Everything read at one moment, judged."""

    at: datetime
    judged: tuple[Judged, ...]

    def of(self, state: State) -> list[Judged]:
        """The readings in this state."""
        return [one for one in self.judged if one.state is state]


class Outcome(StrEnum):
    """What a sample asks of the run."""

    CONTINUE = "continue"
    DISPROVED = "disproved"
    ABORT = "abort"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now, and why."""

    outcome: Outcome
    reasons: tuple[str, ...] = ()


@dataclass
class _Blindness:
    """When one signal of one service was unknown: from a look without a value to the next with one."""

    since: datetime | None = None
    past: list[tuple[datetime, datetime]] = field(default_factory=list)

    def seen(self, at: datetime) -> None:
        """There was a value at ``at``."""
        if self.since is not None:
            self.past.append((self.since, at))
            self.since = None

    def unseen(self, at: datetime, window: timedelta) -> timedelta:
        """There was none at ``at``: how long altogether in the ``window`` before."""
        self.since = self.since or at
        begin = at - window
        self.past = [(since, until) for since, until in self.past if until > begin]
        unknown = (*self.past, (self.since, at))
        return sum((until - max(since, begin) for since, until in unknown), timedelta(0))


@dataclass
class Judge:
    """Remembers since when each signal of each service has been wrong, and for how long unknown.

    Unknown for ``no_data_grace`` out of the last twice as long aborts: a signal that comes and goes
    protects nobody.
    """

    watches: Sequence[Watch]
    no_data_grace: timedelta
    _since: dict[tuple[str, str, State], datetime] = field(default_factory=dict)
    _blindness: dict[tuple[str, str], _Blindness] = field(default_factory=dict)

    def judge(self, at: datetime, readings: Iterable[Reading]) -> tuple[Sample, Decision]:
        """Judge what was read at ``at`` (never before an earlier sample's time)."""
        by_name = {watch.name: watch for watch in self.watches}
        judged = tuple(self._judge_one(at, by_name[reading.signal], reading) for reading in readings)
        sample = Sample(at, judged)
        aborts = [one.reason for one in judged if one.state is State.OVER]
        aborts += [one.reason for one in sample.of(State.UNKNOWN) if one.reason]
        if aborts:
            return sample, Decision(Outcome.ABORT, tuple(aborts))
        broken = tuple(one.reason for one in sample.of(State.BROKEN))
        return sample, Decision(Outcome.DISPROVED, broken) if broken else Decision(Outcome.CONTINUE)

    def _judge_one(self, at: datetime, watch: Watch, reading: Reading) -> Judged:
        if reading.value is None:
            return self._judge_unknown(at, watch, reading)
        self._blind(reading).seen(at)
        over = watch.abort_when
        if over is not None:
            if over.holds(reading.value):
                lasted = self._lasted(at, reading, State.OVER)
                if lasted >= watch.patience(reading.service):
                    return Judged(reading, State.OVER, over, _words(reading, watch, f"the guardrail {over}"))
            else:
                self._clear(reading, State.OVER)
        return self._judge_tolerance(at, watch, reading)

    def _judge_tolerance(self, at: datetime, watch: Watch, reading: Reading) -> Judged:
        tolerate = watch.tolerate
        shown = tolerate or watch.abort_when
        if tolerate is None or not watch.concerns(reading.service):
            return Judged(reading, State.OK, shown)
        assert reading.value is not None
        if tolerate.holds(reading.value):
            self._clear(reading, State.BREACH)
            return Judged(reading, State.OK, shown)
        lasted = self._lasted(at, reading, State.BREACH)
        if lasted < watch.tolerate_for:
            return Judged(reading, State.BREACH, shown)
        since = f" for {_whole(lasted)}" if lasted else ""
        reason = _words(reading, watch, f"outside {tolerate}{since}")
        return Judged(reading, State.BROKEN, shown, reason)

    def _judge_unknown(self, at: datetime, watch: Watch, reading: Reading) -> Judged:
        # A breach that was seen is not forgiven because nothing can be seen now: its clock runs on.
        blindness, window = self._blind(reading), 2 * self.no_data_grace
        lately = blindness.unseen(at, window)
        shown = watch.tolerate or watch.abort_when
        if lately < self.no_data_grace:
            return Judged(reading, State.UNKNOWN, shown)
        lasted = at - (blindness.since or at)
        how_long = _whole(lasted)
        if lasted < self.no_data_grace:
            how_long = f"{_whole(lately)} of the last {format_duration(window)}"
        where = f" at {reading.service}" if reading.service else ""
        grace = format_duration(self.no_data_grace)
        reason = f"{watch.name}{where}: no data for {how_long} ({reading.unknown}); grace {grace}"
        return Judged(reading, State.UNKNOWN, shown, reason)

    def _blind(self, reading: Reading) -> _Blindness:
        return self._blindness.setdefault((reading.signal, reading.service), _Blindness())

    def _lasted(self, at: datetime, reading: Reading, state: State) -> timedelta:
        since = self._since.setdefault((reading.signal, reading.service, state), at)
        return at - since

    def _clear(self, reading: Reading, state: State) -> None:
        self._since.pop((reading.signal, reading.service, state), None)


def _whole(lasted: timedelta) -> str:
    return format_duration(timedelta(seconds=round(lasted.total_seconds())))


def _words(reading: Reading, watch: Watch, what: str) -> str:
    where = f" at {reading.service}" if reading.service else ""
    unit = f" {watch.unit}" if watch.unit and watch.unit != "ratio" else ""
    return f"{watch.name} {reading.text}{unit}{where}: {what}"


def unmet(watches: Sequence[Watch], readings: Iterable[Reading]) -> list[str]:
    """Why the steady state does not hold: every ``expect`` that fails, and everything unknown.

    Thresholds without a probe count too: a run must not start past a guardrail or blind to one.
    """
    by_name = {watch.name: watch for watch in watches}
    found = []
    for reading in readings:
        watch = by_name[reading.signal]
        where = f" at {reading.service}" if reading.service else ""
        if reading.value is None:
            found.append(f"{watch.name}{where}: unknown ({reading.unknown})")
        elif watch.abort_when is not None and watch.abort_when.holds(reading.value):
            found.append(_words(reading, watch, f"past the guardrail {watch.abort_when}"))
        elif watch.expect and watch.concerns(reading.service) and not watch.expect.holds(reading.value):
            found.append(_words(reading, watch, f"expected {watch.expect}"))
    return found
