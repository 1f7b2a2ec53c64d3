"""Why: how far a signal went in each stage is a few numbers, where its samples are a hundred thousand.

Has the database work them out. Whether low or high is bad is for whoever asks.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select

from gameday.journal.schema import observations
from gameday.journal.store import Journal, to_its_end


@dataclass(frozen=True, slots=True)
class Extreme:
    """The samples of one signal of one service in one stage that were judged alike.

    ``least`` and ``most`` are None where none of them had a value; ``newest`` grows with time.
    """

    stage: str
    signal: str
    service: str
    state: str
    least: float | None
    most: float | None
    newest: int


@to_its_end
async def extremes(journal: Journal, run: str) -> list[Extreme]:
    """How far each signal of each service went in each stage of a run. Raises ``JournalError``."""
    alike = [observations.c[name] for name in ("stage", "signal", "service", "state")]
    value = observations.c.value
    query = (
        select(
            *alike,
            func.min(value).label("least"),
            func.max(value).label("most"),
            func.max(observations.c.id).label("newest"),
        )
        .where(observations.c.run == run)
        .group_by(*alike)
    )
    async with journal.transaction() as connection:
        return [Extreme(**row) for row in (await connection.execute(query)).mappings()]
