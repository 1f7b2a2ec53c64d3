"""Why: when a run is killed, hangs or never ends, somebody who still can ends its faults and says so.

Waits for the run's pipe to close without the word "done", for its Lease to stand still, for its time
to be up. Then it calls the one emergency stop for this run, closes its record, and tries on while
anything is left. It measures in its own monotonic time: no clock that is set back, or dead, delays it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from contextlib import suppress
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Self

from gameday.clients.kubernetes import Cluster
from gameday.clock import RemoteClock, SystemClock, is_rehearsal
from gameday.errors import GamedayError, NotFoundError, UnreachableError
from gameday.run.ending import end_faults_in
from gameday.safety.lease import DURATION, run_lease
from gameday.safety.stop_report import Scope, StopReport
from gameday.safety.watchdog import DONE, FAULTS, READY, Order
from gameday.settings import Settings, clock, clock_at_hand, load
from gameday.spec.base import format_duration

if TYPE_CHECKING:
    from gameday.clients.grafana import Access

_LOOK_EVERY: Final = timedelta(seconds=5)
# A rehearsal's time, and with it the Lease, stands still while the run waits for anything real.
_STANDSTILL: Final = timedelta(minutes=3)
_CALL_TIMEOUT: Final = timedelta(seconds=3)
# The API server may still be working on a creation that the run asked for: its requests take a minute.
_LATE_CREATION: Final = timedelta(seconds=60)
# A daemon or an API server that comes back within this time needs nobody to come for it.
_PERSEVERANCE: Final = timedelta(minutes=10)
_PAUSES_S: Final = (2.0, 5.0, 10.0, 20.0)
_RECORD_TIMEOUT_S: Final = 60.0

_log = logging.getLogger("watchdog")


class Cause(StrEnum):
    """Why the watchdog stops watching, as the record says it."""

    DONE = "done"
    GONE = "the run's process ended without a verdict"
    HUNG = "the run hung: it did not renew its lease"
    LATE = "the run did not come to its end"


def run(order: str, announce: int, held: int) -> None:
    """Watch as ``order`` says. Announces readiness, or in one line why it cannot watch."""
    logging.basicConfig(level=logging.ERROR, format="%(asctime)s %(message)s", stream=sys.stderr)
    _log.setLevel(logging.INFO)
    try:
        asyncio.run(_watch(Order.model_validate_json(order), announce, held))
    except GamedayError as error:
        _log.error("cannot watch: %s", error.message)
        with suppress(BrokenPipeError):
            os.write(announce, f"{error.message}\n".encode())
        sys.exit(1)


async def _watch(order: Order, announce: int, held: int) -> None:
    settings = load()
    words = await Words.on(held)
    # Its calls are repeated in real time, whatever clock the run goes by.
    async with Cluster.connect(order.context, clock=SystemClock(), check=False) as cluster:
        keeper = Keeper(order, settings, cluster, words)
        await keeper.look_at_lease()  # so that the connection is open
        _log.info("process %d watches run %s", os.getpid(), order.run)
        with suppress(BrokenPipeError):  # the run has gone already
            os.write(announce, READY)
        await keeper.keep()


class Words:
    """What the run has said so far."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.faults_since: float | None = None
        self.done = False
        self.ended = asyncio.Event()

    @classmethod
    async def on(cls, held: int) -> Self:
        """Listen to the pipe ``held``, until it closes."""
        words, loop = cls(), asyncio.get_running_loop()
        os.set_blocking(held, False)
        said = bytearray()

        def listen() -> None:
            piece = os.read(held, 64)
            said.extend(piece)
            if FAULTS in said and words.faults_since is None:
                words.faults_since = loop.time()
            words.done = DONE in said
            if not piece or words.done:
                loop.remove_reader(held)
                words.ended.set()

        loop.add_reader(held, listen)
        return words


class Keeper:
    """Watches one run, and ends what it leaves."""

    def __init__(self, order: Order, settings: Settings, cluster: Cluster, words: Words) -> None:
        """Watch the run of ``order`` in ``cluster``."""
        self._order = order
        self._settings = settings
        self._cluster = cluster
        self._words = words
        self._brisk = Cluster(cluster.api.within(timeout=_CALL_TIMEOUT, attempts=1))
        self._speed, self._patience = _pace(settings)
        self._renewed: datetime | None = None
        self._unchanged_since: float | None = None
        self._now = asyncio.get_running_loop().time

    async def keep(self) -> None:
        """Until the run is done, or nothing of it is left."""
        while True:
            cause = await self._cause()
            _log.info("%s", cause)
            if cause is Cause.DONE:
                self._forget()
                return
            ended = await self._end(cause)
            if cause is not Cause.HUNG:
                await self._persevere(cause, ended=ended)
                return
            # It may wake up again, and die after all: the pipe is still to be watched.

    async def _cause(self) -> Cause:
        """Wait until there is a reason to act, or none any more."""
        while True:
            try:
                async with asyncio.timeout(self._real(_LOOK_EVERY)):
                    await self._words.ended.wait()
            except TimeoutError:
                if self._overdue():
                    return Cause.LATE
                if self._words.faults_since is not None and await self._hangs():
                    return Cause.HUNG
            else:
                return Cause.DONE if self._words.done else Cause.GONE

    def _overdue(self) -> bool:
        since = self._words.faults_since
        return since is not None and self._now() - since > self._real(self._order.longest)

    def _real(self, duration: timedelta) -> float:
        """Seconds of real time, where a sandbox lets the run's time pass faster."""
        return duration.total_seconds() / self._speed

    async def _hangs(self) -> bool:
        await self.look_at_lease()
        since = self._unchanged_since
        if since is None or self._now() - since < self._real(self._patience):
            return False
        self._unchanged_since = None
        return True

    async def look_at_lease(self) -> None:
        """See whether the run has renewed its Lease.

        Only a change counts, never a time that stands in it: the clocks of the machines may differ.
        Unseen or absent it says nothing: the run, too, finds that out and ends.
        """
        try:
            lease = await self._brisk.lease(self._order.namespace, run_lease(self._order.run))
        except NotFoundError:
            self._unchanged_since = None
        except GamedayError as error:
            _log.info("the lease cannot be seen: %s", error.message)
            self._unchanged_since = None
        else:
            if lease.renewed != self._renewed or self._unchanged_since is None:
                self._unchanged_since = self._now()
            self._renewed = lease.renewed

    async def _end(self, cause: Cause) -> bool:
        """Stop, and write down what came of it. Answers whether it is proved that nothing is left."""
        try:
            report = await end_faults_in(
                self._cluster,
                Scope.of_run(self._order.run, self._order.namespace),
                clock=clock_at_hand(self._settings),
                call_off=True,
            )
        except Exception:  # whatever it is: there is nobody else to try again
            _log.exception("the stop failed")
            return False
        for line in report.lines():
            _log.info("%s", line)
        await self._record(cause, report)
        return report.clean

    async def _persevere(self, cause: Cause, *, ended: bool) -> None:
        """Look again for what was still being created, and try again while anything is left."""
        began, pauses = self._now(), iter(_PAUSES_S)
        while self._now() - began < (_LATE_CREATION if ended else _PERSEVERANCE).total_seconds():
            await asyncio.sleep(next(pauses, _PAUSES_S[-1]))
            ended = await self._end(cause)
        _log.info("%s", "nothing is left" if ended else "gave up: what is to do stands above")

    async def _record(self, cause: Cause, report: StopReport) -> None:
        """Write into the journal what happened, where it can be written: the faults come first."""
        try:
            async with asyncio.timeout(_RECORD_TIMEOUT_S):
                await self._close_record(cause, report)
        except (GamedayError, TimeoutError) as error:
            _log.warning("the record could not be closed: %s", error)

    async def _close_record(self, cause: Cause, report: StopReport) -> None:
        # Costs 0.2 s to import, which no run that ends well need pay.
        from gameday.journal.store import Event, Journal, Verdict  # noqa: PLC0415
        from gameday.run.closing import close_cut_off  # noqa: PLC0415

        marked = _marked(self._settings)
        time = clock_at_hand(self._settings)
        why = f"{cause}; its watchdog ended what was left of it"
        if cause is Cause.LATE:
            why = f"{cause} within {format_duration(self._order.longest)}; its watchdog ended it"
        async with Journal.open(self._settings.database_url) as journal:
            record = await journal.find(self._order.run)
            if record is None or await close_cut_off(
                journal, record, Verdict.ERROR, why, report, time, door="watchdog", marked=marked
            ):
                return
            for line in report.lines() if report.outcomes else ():
                await journal.append(Event(record.run, time.now(), "stop", f"watchdog: {line}"))

    def _forget(self) -> None:
        if self._order.log is not None:
            self._order.log.unlink(missing_ok=True)


def _marked(settings: Settings) -> Access | None:
    """Where the run's faults were marked, if that is still to be known: the record does not wait for it."""
    from gameday.run.marks import wanted  # noqa: PLC0415 - as for the record
    from gameday.spec.catalogue import Catalogue  # noqa: PLC0415

    with suppress(GamedayError):
        return wanted(settings, Catalogue(settings.experiments).platform)
    return None


def _pace(settings: Settings) -> tuple[float, timedelta]:
    """How much faster than real time the run's time passes, and how long its Lease may stand still."""
    try:
        time = clock(settings)
    except UnreachableError:
        return 1.0, DURATION
    return time.speed if isinstance(time, RemoteClock) else 1.0, _STANDSTILL if is_rehearsal(
        time
    ) else DURATION
