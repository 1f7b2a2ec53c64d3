"""Why: a run whose process is gone must not look for ever as if it were going on.

Tells from the Lease by which a run shows that it lives, and where it has none yet or the cluster
cannot be asked, from the time of its last event. Whoever looks next at a run that was cut off, and
has left nothing in the cluster, closes its record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Final

from gameday.cli.output import note
from gameday.clients.chaos_mesh import Census, ChaosMesh
from gameday.clients.grafana import Access
from gameday.clients.kubernetes import Cluster
from gameday.clock import Clock
from gameday.errors import GamedayError, NotFoundError
from gameday.journal.store import Journal, JournalError, RunRecord, Verdict
from gameday.run.closing import close_cut_off
from gameday.run.marks import wanted
from gameday.safety.lease import run_lease
from gameday.settings import clock_at_hand, load
from gameday.spec.catalogue import Catalogue

CUT_OFF: Final = "the process ended without a verdict: its Lease has lapsed"

# A run has its Lease within seconds; its first look at an ill platform can take a minute.
_QUIET: Final = timedelta(minutes=2)
# No run waits that long for people.
_FORGOTTEN: Final = timedelta(days=1)


class Life(StrEnum):
    """What is known of a run."""

    ENDED = "ended"
    GOING_ON = "going on"
    CUT_OFF = "cut off"
    UNKNOWN = "unknown"

    @property
    def words(self) -> str:
        """How a table says it."""
        return "not known whether it goes on" if self is Life.UNKNOWN else self.value


async def life(record: RunRecord, journal: Journal, cluster: Cluster, namespace: str, now: datetime) -> Life:
    """Whether the run goes on. ``cluster`` is that of its environment, ``namespace`` the chaos one.

    ``now`` is the time of the clock that the run goes by. Raises ``JournalError``.
    """
    if record.verdict is not None:
        return Life.ENDED
    if record.sandbox != load().on_sandbox:
        # Not a cluster that knows of the run: that it has no Lease there says nothing.
        quiet = await _quiet(record, journal, now)
        return Life.CUT_OFF if quiet > _FORGOTTEN else Life.UNKNOWN
    try:
        lease = await cluster.lease(namespace, run_lease(record.run))
    except NotFoundError:
        return await _by_last_event(record, journal, now)
    except GamedayError:
        return Life.UNKNOWN
    return Life.CUT_OFF if lease.lapsed(now) else Life.GOING_ON


async def _quiet(record: RunRecord, journal: Journal, now: datetime) -> timedelta:
    events = await journal.events(record.run)
    return now - (events[-1].at if events else record.started_at)


async def _by_last_event(record: RunRecord, journal: Journal, now: datetime) -> Life:
    quiet = await _quiet(record, journal, now)
    if quiet < timedelta(0):
        # It goes by another clock, such as that of a sandbox which is not this one.
        return Life.UNKNOWN
    return Life.CUT_OFF if quiet > _QUIET else Life.GOING_ON


async def closed_where_cut_off(
    record: RunRecord,
    journal: Journal,
    cluster: Cluster,
    namespace: str,
    census: Census,
    time: Clock,
    *,
    marked: Access | None,
) -> tuple[RunRecord, Life]:
    """What is known of a run; the record of one that was cut off and has left nothing is closed.

    ``census`` is what is live in ``cluster``; ``marked`` is where faults are marked on dashboards.
    Raises ``JournalError``.
    """
    now_lives = await life(record, journal, cluster, namespace, time.now())
    left = [one for one in census.objects if one.meta.run == record.run]
    if now_lives is not Life.CUT_OFF or left or not census.complete:
        return record, now_lives
    await close_cut_off(journal, record, Verdict.ERROR, CUT_OFF, None, time, door="command", marked=marked)
    return await journal.find(record.run) or record, Life.ENDED


async def look_again(journal: Journal, records: Sequence[RunRecord]) -> dict[str, tuple[RunRecord, Life]]:
    """What is known of each run, by its id; their clusters are asked about those without a verdict.

    A cluster that does not answer leaves its runs unknown. Raises ``JournalError``.
    """
    found = {record.run: (record, Life.ENDED) for record in records if record.verdict is not None}
    going: dict[str, list[RunRecord]] = {}
    for record in records:
        if record.verdict is None:
            going.setdefault(record.environment, []).append(record)
    looks = [_in_environment(journal, name, of_it) for name, of_it in going.items()]
    for known in await asyncio.gather(*looks):
        found |= known
    return found


async def _in_environment(
    journal: Journal, environment: str, records: Iterable[RunRecord]
) -> dict[str, tuple[RunRecord, Life]]:
    try:
        settings = load()
        platform = Catalogue(settings.experiments).platform
        where = platform.environment(environment)
        time = clock_at_hand(settings, partial(note, style="yellow"))
        async with Cluster.connect(
            where.context, clock=time, call_timeout=settings.kubernetes_timeout
        ) as cluster:
            census = await ChaosMesh(cluster.api).live()
            marked = wanted(settings, platform)
            return {
                record.run: await closed_where_cut_off(
                    record, journal, cluster, platform.chaos_namespace, census, time, marked=marked
                )
                for record in records
            }
    except JournalError:
        raise
    except GamedayError:
        return {record.run: (record, Life.UNKNOWN) for record in records}
