"""Why: what a team learned belongs to it, and other programs read it without knowing our tables.

Gives everything that is kept of runs as plain records, one run after another, a few rows at a time
however many there are. docs/reference/export.md describes them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

from pydantic.alias_generators import to_camel
from sqlalchemy import Table, select

from gameday.journal.actions import Actions
from gameday.journal.history import Wanted, matching
from gameday.journal.schema import analyses, events, faults, findings, observations, predictions, runs, series
from gameday.journal.store import Journal

_PAGE: Final = 5000

# The word for a record, its table, and by what its rows are told apart and put in order.
_PARTS: Final[tuple[tuple[str, Table, tuple[str, ...]], ...]] = (
    ("event", events, ("id",)),
    ("fault", faults, ("name",)),
    ("observation", observations, ("id",)),
    ("series", series, ("signal", "service")),
    ("analysis", analyses, ("run",)),
    ("finding", findings, ("key",)),
)


async def records(
    journal: Journal, wanted: Wanted, names: Sequence[str] = ()
) -> AsyncIterator[dict[str, Any]]:
    """Every record of the runs that match, or of those named, oldest run first; then the action items.

    Action items come along where whole times are exported, not single runs. Raises ``JournalError``.
    """
    for run in names or await _names(journal, wanted):
        async for record in _of_run(journal, run):
            yield record
    if not names:
        for item in await Actions(journal).items():
            values = {name: getattr(item, name) for name in item.__dataclass_fields__}
            yield {"record": "action-item"} | _camel(values)


async def _names(journal: Journal, wanted: Wanted) -> list[str]:
    query = matching(select(runs.c.run), wanted).order_by(runs.c.started_at, runs.c.run)
    async with journal.transaction() as connection:
        return list((await connection.execute(query)).scalars())


async def _of_run(journal: Journal, run: str) -> AsyncIterator[dict[str, Any]]:
    async with journal.transaction() as connection:
        row = (await connection.execute(select(runs).where(runs.c.run == run))).mappings().one()
        used = select(predictions).where(predictions.c.prediction == row["prediction"])
        predicted = (await connection.execute(used)).mappings().first()
    yield {"record": "run"} | _camel(dict(row))
    if predicted is not None:
        yield {"record": "prediction", "run": run} | _camel(dict(predicted))
    for word, table, order in _PARTS:
        async for found in _pages(journal, table, run, order):
            yield {"record": word} | _camel(found)


async def _pages(
    journal: Journal, table: Table, run: str, order: Sequence[str]
) -> AsyncIterator[dict[str, Any]]:
    """The rows of a run, page by page, none of which holds the database while it is written out."""
    begin = 0
    columns = [table.c[name] for name in order]
    while True:
        query = select(table).where(table.c.run == run).order_by(*columns).limit(_PAGE).offset(begin)
        async with journal.transaction() as connection:
            page = (await connection.execute(query)).mappings().all()
        for row in page:
            yield dict(row)
        if len(page) < _PAGE:
            return
        begin += _PAGE


def _camel(row: Mapping[str, Any]) -> dict[str, Any]:
    """The columns by the names that all our JSON has; numbers of rows mean nothing elsewhere."""
    return {to_camel(column): value for column, value in row.items() if column != "id"}
