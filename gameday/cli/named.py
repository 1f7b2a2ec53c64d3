"""Why: people name a run by how its id begins or ends, and every command must mean the same one by it.

A name that several runs share means none of them: which one was meant is not for a command to guess.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from gameday.errors import UsageError

if TYPE_CHECKING:
    from gameday.journal.store import Journal, RunRecord

_NAMED: Final = 5


def several(run: str, ids: Sequence[str], hint: str = "`gameday history` lists them.") -> UsageError:
    """What to raise where ``run`` is the beginning or end of all these ids, the newest first."""
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    return UsageError(
        f"several runs begin or end with {run!r}: {', '.join(ids[:_NAMED])}{more}",
        hint=f"Say more of the id. {hint}",
    )


async def run_of(journal: Journal, run: str) -> RunRecord:
    """The run of this id, or whose id begins or ends so. Raises ``UsageError`` where that is not one run."""
    ids = await journal.matching(run)
    if len(ids) > 1:
        raise several(run, ids)
    record = await journal.find(ids[0]) if ids else None
    if record is None:
        raise UsageError(f"unknown run {run!r}", hint="`gameday history` lists those that there are.")
    return record
