"""Why: there is one way to end faults in anger; hooks, guard and command are but doors to it.

The order is the one that Chaos Mesh's own behaviour asks for: silence what brings forth faults
(Schedules, Workflows), then delete every kind at once and look again until all is gone, children
born meanwhile included; touch what makes no progress; at the end, if told to, force (``last_resort``).
A kind that is refused or stalls never keeps the others from ending. It needs neither Prefect nor
Prometheus, Slack or the journal, and does not engage the safety lever: its callers do.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from gameday.clients.chaos_mesh import ChaosMesh
from gameday.clients.faults import FaultState, ObjectMeta, Ref
from gameday.clients.selectors import selector
from gameday.clock import Clock, Deadline
from gameday.errors import GamedayError, NotAllowedError, NotFoundError
from gameday.safety.inventory import Calls, Inventory, Seen
from gameday.safety.last_resort import LastResort
from gameday.safety.stop_report import Ending, Outcome, Proof, Scope, StopEvent, StopReport
from gameday.spec.kinds import FAULT_KINDS, SCHEDULE, WORKFLOW

WITHIN: Final = timedelta(seconds=60)

_CALL_TIMEOUT = timedelta(seconds=5)
_CALL_ATTEMPTS = 2
# How long after the time limit a call under way may still answer, in real seconds.
_STRAGGLERS_S = 1.0
# How long the faults wait until Schedules and Workflows are silenced, in real seconds.
_HEAD_START_S = 3.0
# Longer than any recovery that goes well; a controller that lost its attempt starts a new one.
_STALLED = timedelta(seconds=5)
_GRACE_AFTER_FORCE = timedelta(seconds=10)
_AT_ONCE = 16
_TOUCHED_AT_ONCE = 50
# Roles do not change while we wait: a listing refused this often stays refused.
_REFUSALS = 3

Progress = Callable[[StopEvent], None]


async def stop(
    chaos: ChaosMesh,
    scope: Scope,
    *,
    clock: Clock,
    within: timedelta = WITHIN,
    force: bool = False,
    progress: Progress | None = None,
) -> StopReport:
    """End every chaos object of ``scope`` and report what became of each.

    Takes at most ``within``, and some seconds more to find out why something is stuck or, with
    ``force``, to let it go without a recovery and to replace its target pods. Raises no
    ``OutsideError``: what failed stands in the report.
    """
    brisk = chaos.within(timeout=_CALL_TIMEOUT, attempts=_CALL_ATTEMPTS)
    return await _Stop(brisk, scope, clock, within, progress).run(force=force)


class _Stop:
    def __init__(
        self, chaos: ChaosMesh, scope: Scope, clock: Clock, within: timedelta, progress: Progress | None
    ) -> None:
        self._chaos = chaos
        self._scope = scope
        self._clock = clock
        self._started = clock.now()
        self._deadline = Deadline(clock, within)
        self._inventory = Inventory(scope)
        self._calls = Calls()
        self._progress = progress
        self._notes: list[str] = []
        self._unseen: dict[str, str] = {}
        self._refusals: Counter[str] = Counter()
        self._missing: set[str] = set()
        self._counts: dict[str, tuple[int, datetime]] = {}
        self._gate = asyncio.Semaphore(_AT_ONCE)

    async def run(self, *, force: bool) -> StopReport:
        silencing = asyncio.create_task(self._silence(), name="silence")
        try:
            await asyncio.wait({silencing}, timeout=_HEAD_START_S)
            await self._rounds()
            if force and self._inventory.all_live():
                await self._force()
        finally:
            silencing.cancel()
            await asyncio.wait({silencing})
        if not silencing.cancelled() and (error := silencing.exception()) is not None:
            self._notes.append(f"Schedules and Workflows were not silenced first: {error!r}")
        return await self._report()

    # Schedules and Workflows first: what they bring forth would outlive the deletion of their children.

    async def _silence(self) -> None:
        if SCHEDULE not in self._scope.kinds:
            return
        await self._look(SCHEDULE)
        await self._each(SCHEDULE, "pause", self._chaos.pause)
        await self._delete(SCHEDULE)
        await self._look(WORKFLOW)
        await self._each(WORKFLOW, "abort", self._chaos.abort)
        await self._delete(WORKFLOW)

    async def _each(self, kind: str, verb: str, call: Callable[[Ref], Awaitable[None]]) -> None:
        live = [seen.meta.ref for seen in self._inventory.live(kind)]
        if live:
            self._tell(f"{verb} {len(live)} {kind}s")
        await asyncio.gather(*(self._call(f"{verb} {ref}", partial(call, ref)) for ref in live))

    async def _rounds(self) -> None:
        """Until a look at every kind finds nothing any more, or time is up."""
        while True:
            known = len(self._inventory.seen)
            kinds = [kind for kind in self._scope.kinds if kind not in self._missing]
            waited = await asyncio.gather(*(self._end_safely(kind) for kind in kinds))
            if self._deadline.passed or (not any(waited) and known == len(self._inventory.seen)):
                return

    async def _end_safely(self, kind: str) -> bool:
        try:
            async with asyncio.timeout_at(self._deadline.until_real + _STRAGGLERS_S):
                return await self._end(kind)
        except TimeoutError:
            self._unseen[kind] = "the API server did not answer in time"
            return False
        except Exception as error:  # whatever is wrong with one kind, the others must end
            self._unseen[kind] = f"unexpectedly, {error!r}"
            return False

    async def _end(self, kind: str) -> bool:
        """End all of one kind. Answers whether there was anything to wait for."""
        waited = False
        for delay in _delays():
            seen_it = await self._look(kind)
            if seen_it and not self._inventory.live(kind):
                return waited
            if not seen_it and self._refusals[kind] >= _REFUSALS:
                return waited
            await self._delete(kind)
            await self._touch_stalled(kind)
            if self._deadline.passed:
                return True
            waited = True
            await self._deadline.rest(delay)
        return waited

    async def _look(self, kind: str) -> bool:
        """Take in what is live of one kind. Answers whether the whole truth is known."""
        labels = "" if self._inventory.parents else selector(self._scope.labels)
        doing = f"list every {kind}"
        try:
            listed = await self._chaos.metadata(kind, labels=labels)
        except NotFoundError:
            self._missing.add(kind)
            self._unseen.pop(kind, None)
            self._inventory.note(kind, (), self._clock.now())
            return True
        except NotAllowedError as error:
            self._refusals[kind] += 1
            self._calls.failed(doing, error)
            return await self._look_where_allowed(kind, labels, error)
        except GamedayError as error:
            self._calls.failed(doing, error)
            self._unseen[kind] = error.message
            return False
        self._calls.succeeded(doing)
        self._unseen.pop(kind, None)
        self._note(kind, listed)
        return True

    async def _look_where_allowed(self, kind: str, labels: str, refusal: GamedayError) -> bool:
        self._unseen[kind] = refusal.message
        found: list[ObjectMeta] = []
        for namespace in self._scope.namespaces:
            try:
                found += await self._chaos.metadata(kind, namespace, labels)
            except GamedayError as error:
                self._calls.failed(f"list every {kind} in {namespace}", error)
                # Deleting needs another right than listing.
                await self._delete_unseen(kind, namespace)
                return False
        self._note(kind, found, self._scope.namespaces)
        # A run keeps its objects in the chaos namespace; others' may be anywhere.
        if (self._scope.labels or self._scope.objects) and self._scope.namespaces:
            del self._unseen[kind]
            return True
        return False

    async def _delete_unseen(self, kind: str, namespace: str) -> None:
        if not self._scope.objects:
            await self._delete_all(kind, namespace, [])
            return
        refs = [ref for ref in self._scope.objects.values() if (ref.kind, ref.namespace) == (kind, namespace)]
        await asyncio.gather(*(self._delete_one(ref) for ref in refs))

    def _note(self, kind: str, listed: list[ObjectMeta], namespaces: tuple[str, ...] = ()) -> None:
        now = self._clock.now()
        self._inventory.note(kind, listed, now, namespaces=namespaces)
        live = len(self._inventory.live(kind))
        before, _ = self._counts.get(kind, (0, now))
        if live != before:
            self._counts[kind] = (live, now)
            self._tell(f"{kind}: {live} left" if live else f"{kind}: all gone")

    async def _delete(self, kind: str) -> None:
        waiting = [seen.meta for seen in self._inventory.live(kind) if seen.meta.deleting is None]
        covered: dict[str, list[ObjectMeta]] = {}
        for meta in waiting:
            if self._inventory.covers(meta):
                covered.setdefault(meta.ref.namespace, []).append(meta)
        children = [meta for meta in waiting if not self._inventory.covers(meta)]
        await asyncio.gather(
            *(self._delete_all(kind, namespace, metas) for namespace, metas in covered.items()),
            *(self._delete_one(meta.ref) for meta in children),
        )

    async def _delete_all(self, kind: str, namespace: str, metas: list[ObjectMeta]) -> None:
        labels = self._scope.labels
        done = await self._call(
            f"delete every {kind} in {namespace}",
            partial(self._chaos.delete_collection, kind, namespace, labels),
        )
        if not done:  # a collection is a right of its own, and one more call that can fail
            await asyncio.gather(*(self._delete_one(meta.ref) for meta in metas))

    async def _delete_one(self, ref: Ref) -> None:
        await self._call(f"delete {ref}", partial(self._chaos.delete, ref))

    async def _touch_stalled(self, kind: str) -> None:
        """Have the controller look again: StressChaos never retries a cancel that failed."""
        live = self._inventory.live(kind)
        _, since = self._counts.get(kind, (0, self._clock.now()))
        if kind not in FAULT_KINDS or not live or self._clock.now() - since < _STALLED:
            return
        self._counts[kind] = (len(live), self._clock.now())
        self._tell(f"{kind}: no progress, touching {min(len(live), _TOUCHED_AT_ONCE)}")
        await asyncio.gather(
            *(
                self._call(f"touch {seen.meta.ref}", partial(self._chaos.touch, seen.meta.ref))
                for seen in live[:_TOUCHED_AT_ONCE]
            )
        )

    async def _force(self) -> None:
        states = await self._states()
        self._tell(f"letting {len(states)} go without a recovery")
        resort = LastResort(self._chaos, self._call)
        for seen in self._inventory.all_live():
            state = states.get(seen.meta.ref)
            if state is not None and await resort.let_go(state):
                seen.forced = "its finalizer was removed"
        await resort.replace_pods()
        self._deadline = Deadline(self._clock, _GRACE_AFTER_FORCE)
        await self._rounds()
        for seen in self._inventory.seen.values():
            if seen.forced:
                seen.forced += await resort.left_behind(seen.meta.ref)

    async def _states(self) -> dict[Ref, FaultState]:
        """What the records say of all that is still there, as far as they can be read."""
        kinds = {seen.meta.ref.kind for seen in self._inventory.all_live()} - self._unseen.keys()
        answers = await asyncio.gather(*(self._states_of(kind) for kind in kinds))
        return {state.ref: state for states in answers for state in states}

    async def _states_of(self, kind: str) -> list[FaultState]:
        try:
            return await self._chaos.within(timeout=_CALL_TIMEOUT, attempts=1).states(kind)
        except GamedayError as error:
            self._calls.failed(f"read every {kind}", error)
            return []

    async def _call(self, doing: str, call: Callable[[], Awaitable[object]]) -> bool:
        async with self._gate:
            try:
                await call()
            except GamedayError as error:
                self._calls.failed(doing, error)
                return False
        self._calls.succeeded(doing)
        return True

    async def _report(self) -> StopReport:
        states = await self._states()
        outcomes = [self._outcome(seen, states.get(seen.meta.ref)) for seen in self._inventory.seen.values()]
        report = StopReport(
            scope=self._scope,
            outcomes=tuple(sorted(outcomes, key=lambda one: one.ref)),
            seconds=(self._clock.now() - self._started).total_seconds(),
            failed_calls=self._calls.all(),
            unseen=self._unseen,
            notes=tuple(self._notes),
        )
        self._tell(report.lines()[0])
        return report

    def _outcome(self, seen: Seen, state: FaultState | None) -> Outcome:
        meta = seen.meta
        if seen.gone_at is not None:
            seconds = (seen.gone_at - self._started).total_seconds()
            if seen.forced:
                return Outcome(meta.ref, meta.run, Ending.FORCED, Proof.UNPROVED, seen.forced, seconds)
            return Outcome(meta.ref, meta.run, Ending.ENDED, Proof.GONE, "", seconds)
        proof = Proof.RECOVERED if state is not None and state.recovered else Proof.UNPROVED
        return Outcome(meta.ref, meta.run, Ending.STUCK, proof, self._why(meta, state))

    def _why(self, meta: ObjectMeta, state: FaultState | None) -> str:
        about = (
            f"remove the finalizer of {meta.ref}",
            f"delete {meta.ref}" if meta.deleting is None else "",
            f"read every {meta.ref.kind}",
        )
        told = [state.why_stuck if state is not None else self._unseen.get(meta.ref.kind, "")]
        told += [self._calls.why(doing) for doing in about]
        return "; ".join(why for why in told if why)

    def _tell(self, text: str) -> None:
        if self._progress is None:
            return
        try:
            self._progress(StopEvent(text, len(self._inventory.all_live())))
        except Exception as error:  # showing progress must not end the stop
            self._progress = None
            self._notes.append(f"Progress could not be shown: {error!r}")


def _delays() -> Iterator[float]:
    """Seconds between two looks: short at first, for a stop of little, then kinder to the server."""
    yield from (0.05, 0.1, 0.2, 0.3)
    while True:
        yield 0.5
