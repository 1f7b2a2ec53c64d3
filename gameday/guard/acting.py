"""Why: everything that the guard ends goes through the one emergency stop, once, and is told.

Offences are ended together, rule by rule, each stop in a task of its own, so that one object that
hangs keeps no other from ending. What could not be proved is tried again, ever more seldom, and is
critical: it engages the safety lever, as a broken threshold of the platform does.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Coroutine, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from gameday.background import background
from gameday.clients.chaos_mesh import ChaosMesh
from gameday.clock import Clock
from gameday.guard.confirming import Confirmation
from gameday.guard.halting import Halting
from gameday.guard.metrics import Metrics
from gameday.guard.rules import Offence, Rule
from gameday.guard.signals import Alarm
from gameday.guard.telling import Teller
from gameday.safety.emergency import WITHIN, stop
from gameday.safety.stop_report import Ending, Scope, StopReport

_log: Final = logging.getLogger(__name__)
_EVERYTHING: Final = "everything"
# Until the watch has told of what a stop has done, or until an API server in trouble is asked again.
_SOON: Final = timedelta(seconds=5)
_FIRST_PAUSE: Final = timedelta(minutes=2)
_LONGEST_PAUSE: Final = timedelta(minutes=10)


class Actor:
    """Ends what must not go on, unless it only ``observes``."""

    def __init__(
        self,
        chaos: ChaosMesh,
        confirmation: Confirmation,
        halting: Halting,
        teller: Teller,
        metrics: Metrics,
        *,
        pace: Clock,
        namespaces: Sequence[str],
        observe: bool,
        within: timedelta = WITHIN,
    ) -> None:
        """Do nothing yet. ``namespaces`` are where to look where listing everywhere is refused."""
        self._chaos = chaos
        self._confirmation = confirmation
        self._halting = halting
        self._teller = teller
        self._metrics = metrics
        self._pace = pace
        self._namespaces = tuple(namespaces)
        self._observe = observe
        self._within = within
        self._tasks: set[asyncio.Task[None]] = set()
        # By uid: when it may be dealt with again (None: its stop is under way).
        self._busy: dict[str, datetime | None] = {}
        self._failures: Counter[str] = Counter()

    def deal(self, offences: Iterable[Offence]) -> None:
        """Begin to end what is not being ended already; returns at once."""
        by_rule: dict[Rule, list[Offence]] = {}
        for one in offences:
            if self._free(one.object.uid):
                by_rule.setdefault(one.rule, []).append(one)
        for rule, found in by_rule.items():
            self._begin(self._end(rule, found), [one.object.uid for one in found])

    def end_everything(self, rule: Rule, alarm: Alarm) -> None:
        """Begin to end all there is; returns at once."""
        if self._free(_EVERYTHING):
            self._begin(self._end_all(rule, alarm), [_EVERYTHING])

    def _free(self, key: str) -> bool:
        if key not in self._busy:
            return True
        until = self._busy[key]
        return until is not None and self._pace.now() >= until

    def forget(self, uid: str) -> None:
        """The object is gone."""
        if self._busy.get(uid) is not None:
            del self._busy[uid]
            self._failures.pop(uid, None)

    @property
    def known(self) -> list[str]:
        """The uids of what was dealt with and is not forgotten."""
        return [uid for uid in self._busy if uid != _EVERYTHING]

    def _begin(self, work: Coroutine[Any, Any, None], keys: list[str]) -> None:
        self._busy |= dict.fromkeys(keys)
        task = background(work, name="stop")
        self._tasks.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                _log.error("a stop failed unexpectedly and is tried again", exc_info=error)
            for key in keys:
                if self._busy.get(key, self._pace.now()) is None:
                    self._busy[key] = self._pace.now() + _SOON

        task.add_done_callback(ended)

    async def _end(self, rule: Rule, suspected: list[Offence]) -> None:
        began = self._pace.now()
        offences = await self._confirmation.of(rule, suspected)
        uids = [one.object.uid for one in offences]
        for uid in {one.object.uid for one in suspected}.difference(uids):
            # A moment later it may be one, and must not wait.
            self._busy.pop(uid, None)
        if not offences:
            return
        self._metrics.offences.labels(rule.value).inc(len(offences))
        self._metrics.notice_seconds.observe((self._pace.now() - began).total_seconds())
        words = [str(one) for one in offences]
        if self._observe:
            self._only_tell(rule, words, uids)
            return
        scope = Scope.of_objects({one.object.uid: one.object.ref for one in offences})
        await self._stop(rule, scope, words, uids)

    async def _end_all(self, rule: Rule, alarm: Alarm) -> None:
        self._metrics.offences.labels(rule.value).inc()
        if self._observe:
            self._only_tell(rule, list(alarm.reasons), [_EVERYTHING])
            return
        scope = Scope.everything(*self._namespaces)
        await self._stop(rule, scope, list(alarm.reasons), [_EVERYTHING])

    def _only_tell(self, rule: Rule, words: list[str], keys: list[str]) -> None:
        self._teller.tell(f"Guard (observing): would end, by the rule {rule}", words)
        self._busy |= dict.fromkeys(keys, self._pace.now() + _LONGEST_PAUSE)

    async def _stop(self, rule: Rule, scope: Scope, words: list[str], keys: list[str]) -> None:
        _log.warning("ending %s, by the rule %s: %s", scope, rule, "; ".join(words[:5]))
        try:
            report = await stop(
                self._chaos, scope, clock=self._confirmation.moments.clock, within=self._within
            )
        except asyncio.CancelledError:
            self._metrics.stops.labels(rule.value, "cut-short").inc()
            raise
        self._metrics.stops.labels(rule.value, "clean" if report.clean else "unproved").inc()
        self._metrics.stop_seconds.observe(report.seconds)
        self._teller.tell(f"Guard: {_head(report)}, by the rule {rule}", [*words, *report.lines()])
        self._busy |= dict.fromkeys(keys, self._pace.now() + self._pause(report, keys))
        if self._critical(report, keys):
            self._halting.engage(f"a stop could not be proved: {'; '.join(report.todo[:3])}")

    def _pause(self, report: StopReport, keys: list[str]) -> timedelta:
        """How long until it is tried again, should it still be there."""
        if report.clean:
            for key in keys:
                self._failures.pop(key, None)
            return _SOON
        self._failures.update(keys)
        if not _stuck(report):
            return _SOON
        doublings = min(max(self._failures[key] for key in keys) - 1, 3)
        return min(_FIRST_PAUSE * (1 << doublings), _LONGEST_PAUSE)

    def _critical(self, report: StopReport, keys: list[str]) -> bool:
        """Whether a fault hangs, or was not proved to be over for the second time running."""
        return not report.clean and (_stuck(report) or max(self._failures[key] for key in keys) > 1)

    def drop(self) -> None:
        """Let go of everything at once: another one leads."""
        for task in self._tasks:
            task.cancel()

    async def finish(self, seconds: float) -> None:
        """Let the stops that are under way come to their end, for ``seconds`` of real time at most."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        self.drop()


def _head(report: StopReport) -> str:
    ended = len(report.ended_as(Ending.ENDED))
    return f"ended {ended} of {len(report.outcomes)} chaos objects"


def _stuck(report: StopReport) -> bool:
    """Whether something is still there that could be seen and told to go."""
    return any(one.ref.kind not in report.unseen for one in report.ended_as(Ending.STUCK))
