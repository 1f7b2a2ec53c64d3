"""Why: what happened last time says more about a run than anything that can be worked out.

Looks a run up by what it was, not by its id. What follows from it is for ``gameday.safety.risk``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from gameday.journal.schema import runs
from gameday.journal.store import Journal, Verdict, to_its_end


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended; ``verdict`` is None where it goes on, or was cut off."""

    run: str
    verdict: Verdict | None
    at: datetime | None


class PastRuns:
    """The runs of a journal, by experiment."""

    def __init__(self, journal: Journal, *, sandbox: bool = False) -> None:
        """Look in ``journal``, which must be open, for runs on clusters, or for those on the sandbox."""
        self._journal = journal
        self._sandbox = sandbox

    @to_its_end
    async def last(self, experiment: str, environment: str, *, but: str = "") -> Ending | None:
        """The last run of ``experiment`` in ``environment`` that started, ``but`` left out.

        Raises ``JournalError``.
        """
        query = (
            select(runs.c.run, runs.c.verdict, runs.c.ended_at)
            .where(runs.c.experiment == experiment, runs.c.environment == environment, runs.c.run != but)
            .where(runs.c.sandbox.is_(self._sandbox))
            .where(runs.c.verdict.is_distinct_from(Verdict.REFUSED.value))
            .order_by(runs.c.started_at.desc())
            .limit(1)
        )
        async with self._journal.transaction() as connection:
            row = (await connection.execute(query)).first()
        if row is None:
            return None
        return Ending(row.run, Verdict(row.verdict) if row.verdict else None, row.ended_at)
