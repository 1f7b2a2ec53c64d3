"""Why: an action item that is closed proves nothing; the experiment that found it, run again, does.

Says of each closed item whether the experiment that found it holds now, still breaks, or was never run
since, from the journal's rows alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, Literal

from gameday.journal.actions import ActionItem
from gameday.journal.history import RunRow
from gameday.journal.store import Verdict
from gameday.spec.base import Model

Proof = Literal["holds", "found-again", "not-held", "not-run"]

_JUDGED: Final = frozenset({Verdict.HELD, Verdict.DISPROVED, Verdict.ABORTED})


class Improvement(Model):
    """A closed action item, and what a later ``run`` of the experiment that found it says."""

    item: int
    title: str
    experiment: str
    service: str
    severity: str
    owner: str
    closed_at: datetime
    closed_by: str
    outcome: str
    proof: Proof
    run: str = ""
    words: str


def improvements(
    items: Iterable[ActionItem], rows: Iterable[RunRow], known: Sequence[ActionItem]
) -> tuple[Improvement, ...]:
    """What was mended by those of ``items`` that are closed, the oldest first.

    ``known`` are all items: one of the same key that was opened later says that it was found again.
    """
    judged: dict[str, list[RunRow]] = {}
    for row in sorted(rows, key=lambda one: one.started_at):
        if row.verdict in _JUDGED:
            judged.setdefault(row.experiment, []).append(row)
    later: dict[str, list[ActionItem]] = {}
    for item in known:
        later.setdefault(item.key, []).append(item)
    closed = sorted(
        (one for one in items if one.closed_at is not None), key=lambda one: (one.closed_at, one.item)
    )
    return tuple(_improvement(item, judged, later) for item in closed)


def _improvement(
    item: ActionItem, judged: Mapping[str, Sequence[RunRow]], known: Mapping[str, Sequence[ActionItem]]
) -> Improvement:
    assert item.closed_at is not None
    since = [row for row in judged.get(item.experiment, ()) if row.started_at > item.closed_at]
    again = next((one for one in known.get(item.key, ()) if one.opened_at > item.closed_at), None)
    proof, run, words = _proof(item, since, again)
    return Improvement.model_validate(
        {
            "item": item.item,
            "title": item.title,
            "experiment": item.experiment,
            "service": item.service,
            "severity": item.severity,
            "owner": item.owner,
            "closedAt": item.closed_at,
            "closedBy": item.closed_by or "",
            "outcome": item.outcome or "",
            "proof": proof,
            "run": run,
            "words": words,
        }
    )


def _proof(item: ActionItem, since: Sequence[RunRow], again: ActionItem | None) -> tuple[Proof, str, str]:
    if again is not None:
        return "found-again", again.runs[0] if again.runs else "", f"found again: action item {again.item}"
    if not since:
        return "not-run", "", f"not proved: {item.experiment} has not run since"
    last = since[-1]
    if last.verdict is Verdict.HELD:
        return "holds", last.run, f"holds now: {last.run}"
    words = f"not found again, but {last.run} ended as {last.verdict.value if last.verdict else 'open'}"
    return "not-held", last.run, words
