"""Why: what marks a fault on dashboards must be found again by whoever outlives the run that made it.

Says who wants faults marked, by which tags a mark is known, and ends those that a dead run left open.
Marking while a run goes on is ``annotating``'s.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from gameday.clients.grafana import Access, Annotation, Grafana, access
from gameday.clients.reading import mapping, sequence
from gameday.errors import OutsideError
from gameday.journal.store import FaultRecord, Journal, RunRecord
from gameday.settings import Settings
from gameday.spec.base import parse_duration
from gameday.spec.platform import Platform

_SHORTEST: Final = timedelta(milliseconds=1)


def wanted(settings: Settings, platform: Platform) -> Access | None:
    """Where the faults of runs are marked; None where they are not.

    Nobody's dashboards show what is broken in a sandbox, unless the settings ask for it.
    """
    where = access(settings, platform)
    if where is None or not where.token or (settings.on_sandbox and not settings.grafana_sandbox):
        return None
    return where


def of_run(run: str) -> str:
    """The tag by which the marks of a run are found."""
    return f"run:{run}"


def of_fault(name: str) -> str:
    """The tag by which the mark of a chaos object is found."""
    return f"fault:{name}"


def ending(begin: datetime, end: datetime) -> datetime:
    """The ``end`` of a mark: what ends when it begins is a moment to Grafana, as if it were open."""
    return max(end, begin + _SHORTEST)


async def end_left_open(
    where: Access, journal: Journal, record: RunRecord, now: datetime, *, gone: bool
) -> str:
    """Let what a dead run left open end where its faults did. Answers why that could not be done.

    ``gone`` where none of its faults is left: one whose end nobody saw then lasts as long as Chaos Mesh
    was to keep it in, and its text says so. Raises ``JournalError``.
    """
    faults = {one.name: one for one in await journal.faults(record.run) if one.injected_at is not None}
    if not faults:
        return ""
    try:
        # All of it in the time of one call: whoever closes a record has more to do.
        async with asyncio.timeout(where.timeout.total_seconds()), Grafana.connect(where) as grafana:
            for one in await grafana.annotations(of_run(record.run)):
                fault = next((faults[name] for name in faults if of_fault(name) in one.tags), None)
                if one.end is None and fault is not None:
                    await _end(grafana, one, fault, _latest(record, fault, now) if gone else None)
    except TimeoutError:
        return f"What it left open in Grafana could not be ended within {where.timeout.total_seconds():g} s"
    except OutsideError as error:
        return f"What it left open in Grafana could not be ended. {error.message}"
    return ""


async def _end(grafana: Grafana, one: Annotation, fault: FaultRecord, latest: datetime | None) -> None:
    if fault.ended_at is not None:
        await grafana.end_annotation(one.id, ending(one.time, fault.ended_at))
    elif latest is not None:
        text = f"{one.text}<br>Its end was not seen"
        await grafana.end_annotation(one.id, ending(one.time, latest), text=text)


def _latest(record: RunRecord, fault: FaultRecord, now: datetime) -> datetime:
    """When Chaos Mesh was to end ``fault`` by itself, at the latest; ``now`` where that is not known."""
    for stage in map(mapping, sequence(mapping(record.plan).get("stages"))):
        if stage.get("name") == fault.stage:
            with suppress(ValueError):
                return min(now, fault.requested_at + parse_duration(stage.get("duration")))
    return now
