"""Why: a fault that nobody would have been told of is a finding, so a run asks who is being told.

Asks Prometheus's alerts API from the first injection to the verdict, beside the monitoring, which it
never holds up, and tells of every alert as an event. Where it was not answered, nothing is said to be
missing: that is not known.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Final

from gameday.analysis.model import AlertSeen
from gameday.clients.alerts import Alert
from gameday.clients.answers import Unknown
from gameday.plan.model import PlannedStage
from gameday.run.context import Run
from gameday.spec.alerts import ExpectedAlert
from gameday.spec.base import format_duration

KIND: Final = "alert"
"""The kind of an event that tells of an alert; its data is an ``AlertSeen``."""

EVERY: Final = timedelta(seconds=10)
"""How often Prometheus is asked: an alert is noticed so much later at most."""


class _Outcome(Enum):
    OPEN = auto()
    FIRED = auto()
    MISSED = auto()
    UNKNOWN = auto()


@dataclass
class _Expectation:
    """One expected alert, from the injection on; ``before`` is what was active then, None: not known."""

    stage: str
    wanted: ExpectedAlert
    since: datetime
    before: frozenset[Hashable] | None
    outcome: _Outcome = _Outcome.OPEN
    unanswered: str = ""  # why a look in its time had no answer
    blind: bool = False  # the last look had none

    @property
    def open(self) -> bool:
        return self.outcome is _Outcome.OPEN

    @property
    def deadline(self) -> datetime:
        return self.since + self.wanted.within

    def fitting(self, alerts: Iterable[Alert], asked: datetime) -> list[Alert]:
        """Those of ``alerts``, which fire, by which it is fulfilled; ``asked`` is when that was asked."""
        if self.open and self.blind and asked > self.deadline:
            return []  # nobody knows whether they were in time
        if self.outcome not in {_Outcome.OPEN, _Outcome.FIRED}:
            return []
        fitting = [one for one in alerts if self.wanted.fits(one.labels)]
        return [one for one in fitting if _is_new(one, self.before, self.since)]

    def seen(self, alerts: Sequence[Alert] = (), at: datetime | None = None) -> AlertSeen:
        """What is told of it: that ``alerts`` fired ``at`` that moment, or that none did."""
        return _seen(
            self.wanted.alert,
            self.stage,
            _services(alerts) or self.wanted.services,
            at,
            self.since,
            expected=True,
            within=self.wanted.within,
            required=self.wanted.required,
        )


@dataclass
class AlertWatch:
    """Watches the alerts of one run. It never raises for what Prometheus does."""

    run: Run
    _expected: list[_Expectation] = field(default_factory=list)
    _told: set[Hashable] = field(default_factory=set)
    _active: frozenset[Hashable] | None = field(default=None)  # at the last look, if it was answered
    _stage: str = field(default="")
    _since: datetime | None = field(default=None)
    _before: frozenset[Hashable] | None = field(default=None)
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def wanted(self) -> bool:
        """Whether anybody wants to know: alerts are expected, or platform.yaml says so."""
        return self.run.plan.expects_alerts or self.run.session.catalogue.platform.prometheus.alerts

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Look every ``EVERY`` meanwhile."""
        if not self.wanted:
            yield
            return
        async with self.run.session.clock.every(EVERY, self.look):
            yield

    async def before(self, stage: PlannedStage) -> None:
        """Learn what is active before ``stage`` goes in; the one before it has had its time."""
        if self.wanted:
            await self.look()
            await self._give_up([one for one in self._expected if one.stage], f"{stage.name} followed")
            self._expected = [one for one in self._expected if not one.stage]

    def began(self, stage: PlannedStage, at: datetime) -> None:
        """``stage`` went in ``at`` that moment: from there on what it expects is expected."""
        of_all = self.run.plan.expect_alerts if self._since is None else ()
        self._stage, self._since, self._before = stage.name, at, self._active
        for name, wanted in ((stage.name, stage.expect_alerts), ("", of_all)):
            self._expected += [_Expectation(name, one, at, self._active) for one in wanted]

    async def close(self, why: str) -> None:
        """Nothing more can come, and ``why``: of what is still open, nobody knows whether it would have."""
        if self.wanted and self._since is not None:
            await self.look()
            await self._give_up(self._expected, why)

    async def look(self) -> None:
        """Ask once, and tell what is new."""
        async with self._asking:
            asked = self.run.now()
            found = await self.run.session.prometheus.alerts()
            if isinstance(found, Unknown):
                self._active = None
                await self._unanswered(asked, str(found))
            else:
                self._active = frozenset(one.key for one in found)
                await self._answered(asked, [one for one in found if one.firing])

    async def _unanswered(self, asked: datetime, why: str) -> None:
        for one in [one for one in self._expected if one.open]:
            one.unanswered, one.blind = why, True
            if asked >= one.deadline:
                await self._unknown(one, f"Prometheus's alerts are {why}")

    async def _answered(self, asked: datetime, firing: Sequence[Alert]) -> None:
        others = new = [one for one in firing if one.key not in self._told]
        self._told |= {one.key for one in new}
        for one in self._expected:
            if fitting := one.fitting(new, asked):
                one.outcome = _Outcome.FIRED
                others = [alert for alert in others if alert not in fitting]
                await self._tell(one.seen(fitting, self.run.now()))
        for name in sorted({alert.name for alert in others}):
            await self._tell_other([alert for alert in others if alert.name == name])
        for one in [one for one in self._expected if one.open]:
            if asked >= one.deadline:
                await self._too_late(one, firing)
            one.blind = False

    async def _tell_other(self, alerts: Sequence[Alert]) -> None:
        """Tell of one that nobody expected, or that has nothing to do with the faults."""
        name, services, now, since = alerts[0].name, _services(alerts), self.run.now(), self._since
        before = since is None or not any(_is_new(one, self._before, since) for one in alerts)
        since = None if before else since
        await self._tell(_seen(name, self._stage, services, now, since, expected=False, before=before))

    async def _too_late(self, one: _Expectation, firing: Sequence[Alert]) -> None:
        if one.unanswered:
            await self._unknown(one, f"Prometheus's alerts were {one.unanswered}")
        elif any(one.wanted.fits(alert.labels) for alert in firing):
            await self._unknown(one, "what it tells was so already when the faults went in")
        else:
            one.outcome = _Outcome.MISSED
            await self._tell(one.seen())
            if one.wanted.required:
                within = format_duration(one.wanted.within)
                self.run.findings.missed.append(f"{_where(one)}did not fire within {within}")

    async def _give_up(self, expected: Iterable[_Expectation], why: str) -> None:
        for one in [one for one in expected if one.open]:
            passed = format_duration(timedelta(seconds=round((self.run.now() - one.since).total_seconds())))
            await self._unknown(one, f"{why} after {passed}, it has {format_duration(one.wanted.within)}")

    async def _unknown(self, one: _Expectation, why: str) -> None:
        one.outcome = _Outcome.UNKNOWN
        words = f"{_where(one)}would fire in time is not known: {why}"
        if one.wanted.required:
            self.run.findings.unseen.append(f"whether {words}")
        await self.run.tell("warning", f"Whether {words}")

    async def _tell(self, seen: AlertSeen) -> None:
        await self.run.tell(KIND, in_words(seen), **seen.model_dump(mode="json", by_alias=True))


def _where(one: _Expectation) -> str:
    return f"{one.wanted} {f'after {one.stage} ' if one.stage else ''}"


def _is_new(alert: Alert, before: frozenset[Hashable] | None, since: datetime) -> bool:
    """Whether the alert was not there, pending either, when the faults went in at ``since``."""
    return alert.active_at >= since if before is None else alert.key not in before


def _services(alerts: Iterable[Alert]) -> tuple[str, ...]:
    return tuple(sorted({alert.service for alert in alerts if alert.service}))


def _seen(
    alert: str,
    stage: str,
    services: Sequence[str],
    fired_at: datetime | None,
    since: datetime | None,
    *,
    expected: bool,
    within: timedelta | None = None,
    required: bool = False,
    before: bool = False,
) -> AlertSeen:
    took = fired_at - since if fired_at is not None and since is not None else None
    return AlertSeen.model_validate(
        {
            "alert": alert,
            "stage": stage,
            "expected": expected,
            "services": services,
            "firedAt": fired_at,
            "took": took,
            "within": within,
            "required": required,
            "before": before,
        }
    )


def in_words(seen: AlertSeen) -> str:
    """For people: what fired, when, and whether that was expected."""
    what = f"Alert {seen.alert}{' of ' + ', '.join(seen.services) if seen.services else ''}"
    within = format_duration(seen.within) if seen.within is not None else ""
    if seen.before:
        return f"{what} was there before the faults, and tells nothing of them"
    if seen.fired_at is None or seen.took is None:
        return f"{what} did not fire within {within}: nobody would have been told of the faults"
    took = format_duration(timedelta(seconds=round(seen.took.total_seconds())))
    expected = f"expected within {within}" if seen.expected else "not expected"
    return f"{what} fired {took} after the injection, {expected}"
