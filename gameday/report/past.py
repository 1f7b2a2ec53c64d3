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
    *,
    sandbox: bool = False,
) -> Known:
    """Everything that is known of ``environment``, or of all where it is "".

    Of what was run on clusters, or of what was run on the ``sandbox``, never of both: a twin that held
    says nothing of how a cluster fares. ``warn`` is told of what is left out: those runs, and experiments
    that cannot be read. Raises ``UsageError`` for an unknown environment.
    """
    if environment:
        catalogue.platform.environment(environment)
    history = History(journal)
    rows = await history.rows(Wanted(environment=environment, sandbox=sandbox))
    items = await Actions(journal).items(sandbox=sandbox)
    if others := await history.count(Wanted(environment=environment, sandbox=not sandbox)):
        warn(_left_out(others, sandbox))
    names = {row.run for row in rows}
    return Known(
        catalogue.platform,
        _readable(catalogue, warn),
        rows,
        [one for one in items if not environment or names.intersection(one.runs)],
        now,
        environment,
        sandbox,
    )


def _readable(catalogue: Catalogue, warn: Callable[[str], None]) -> list[Experiment]:
    found = []
    for path in catalogue.files:
        try:
            found.append(catalogue.load(path))
        except DeclarationError as error:
            warn(f"{path.name} is left out: {error.message}")
    return found


def _left_out(count: int, sandbox: bool) -> str:
    runs = f"{count} run{'s' * (count != 1)}"
    if sandbox:
        return f"Only runs on the sandbox count here: {runs} on clusters left out."
    return f"{runs} on the sandbox left out; --sandbox counts those instead."


async def found(journal: Journal, wanted: Period, environment: str, *, sandbox: bool = False) -> Found:
    """The findings of the quarter ``wanted`` and of the one before."""
    results = Results(journal)
    findings = await results.findings(since=before(wanted).begin, until=wanted.end)
    first = await results.first_found({one.key for one in findings}, environment=environment, sandbox=sandbox)
    return Found(findings, first)
