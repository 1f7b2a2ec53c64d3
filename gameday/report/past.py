"""Why: reviews and suggestions look back at the same past, so it is read once, in one way.

Reads the journal's rows and the catalogue. What follows from them is for ``gameday.analysis``.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from gameday.analysis.periods import Period, before
from gameday.analysis.quarter import Found
from gameday.analysis.suggest import Known
from gameday.errors import DeclarationError
from gameday.journal.actions import Actions
from gameday.journal.history import History, Wanted
from gameday.journal.results import Results
from gameday.journal.store import Journal
from gameday.spec.catalogue import Catalogue
from gameday.spec.experiment import Experiment


async def known(
    journal: Journal,
    catalogue: Catalogue,
    environment: str,
    now: datetime,
    warn: Callable[[str], None],
) -> Known:
    """Everything that is known of ``environment``, or of all where it is "".

    ``warn`` is told of experiments that cannot be read. Raises ``UsageError`` for an unknown environment.
    """
    if environment:
        catalogue.platform.environment(environment)
    rows = await History(journal).rows(Wanted(environment=environment))
    items = await Actions(journal).items()
    names = {row.run for row in rows}
    return Known(
        catalogue.platform,
        _readable(catalogue, warn),
        rows,
        [one for one in items if not environment or names.intersection(one.runs)],
        now,
        environment,
    )


def _readable(catalogue: Catalogue, warn: Callable[[str], None]) -> list[Experiment]:
    found = []
    for path in catalogue.files:
        try:
            found.append(catalogue.load(path))
        except DeclarationError as error:
            warn(f"{path.name} is left out: {error.message}")
    return found


async def found(journal: Journal, wanted: Period, environment: str) -> Found:
    """The findings of the quarter ``wanted`` and of the one before."""
    results = Results(journal)
    findings = await results.findings(since=before(wanted).begin, until=wanted.end)
    first = await results.first_found({one.key for one in findings}, environment=environment)
    return Found(findings, first)
