"""Why: a run whose process is gone must not look for ever as if it were going on.

Tells from the Lease by which a run shows that it lives, and where it has none yet or the cluster
cannot be asked, from the time of its last event. Only looks; closing the record is its callers'.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from gameday.clients.kubernetes import Cluster
from gameday.errors import GamedayError, NotFoundError
from gameday.journal.store import Journal, RunRecord
from gameday.safety.lease import run_lease

# A run has its Lease within seconds; its first look at an ill platform can take a minute.
_QUIET: Final = timedelta(minutes=2)


class Life(StrEnum):
    """What is known of a run."""

    ENDED = "ended"
    GOING_ON = "going on"
    CUT_OFF = "cut off"
    UNKNOWN = "unknown"


async def life(record: RunRecord, journal: Journal, cluster: Cluster, namespace: str, now: datetime) -> Life:
    """Whether the run goes on. ``cluster`` is that of its environment, ``namespace`` the chaos one.

    ``now`` is the time of the clock that the run goes by. Raises ``JournalError``.
    """
    if record.verdict is not None:
        return Life.ENDED
    try:
        lease = await cluster.lease(namespace, run_lease(record.run))
    except NotFoundError:
        return await _by_last_event(record, journal, now)
    except GamedayError:
        return Life.UNKNOWN
    return Life.CUT_OFF if lease.lapsed(now) else Life.GOING_ON


async def _by_last_event(record: RunRecord, journal: Journal, now: datetime) -> Life:
    events = await journal.events(record.run)
    quiet = now - (events[-1].at if events else record.started_at)
    if quiet < timedelta(0):
        # It goes by another clock, such as that of a sandbox which is not this one.
        return Life.UNKNOWN
    return Life.CUT_OFF if quiet > _QUIET else Life.GOING_ON
