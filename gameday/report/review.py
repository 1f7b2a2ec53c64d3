"""Why: after an emergency stop people must find out what happened, and begin with what is known already.

Opens a post-incident review: a Markdown file with the timeline, the objects with their proof, the
signals around the stop, and open questions, answered as far as journal and audit trail tell. A part
that cannot be read is said to be missing; nothing here can fail because of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from gameday.clients.prometheus import Prometheus
from gameday.errors import GamedayError
from gameday.journal.audit import Audit, Entry
from gameday.journal.store import Event, Journal, Observation, RunRecord
from gameday.redaction import redacted
from gameday.report.templating import ReportError, markdown
from gameday.safety.restart import Restarted
from gameday.safety.stop_report import StopReport
from gameday.spec.platform import Platform

AROUND: Final = timedelta(minutes=10)
"""How long before the stop the review begins."""

Key = tuple[str, str]
"""A signal and a service."""

_RUNS: Final = 20
# From bad to worse.
_NOT_WELL: Final = ("breach", "unknown", "broken", "over")


@dataclass(frozen=True, slots=True)
class Incident:
    """What a review is about: who stopped what, when and why, and what came of it."""

    name: str
    began: datetime
    ended: datetime
    by: str
    reason: str
    command: str
    environment: str
    report: StopReport
    lever: str = ""
    restarted: Sequence[Restarted] = ()
    told: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the timeline: ``source`` is a run, or the audit trail."""

    at: datetime
    source: str
    what: str


@dataclass(frozen=True, slots=True)
class Signal:
    """A signal of a service around the stop; ``judged`` is the worst that a run made of it, "" for none."""

    name: str
    service: str
    values: Sequence[float]
    judged: str


@dataclass
class Found:
    """What is known around the stop, and what could not be read."""

    runs: list[RunRecord] = field(default_factory=list)
    timeline: list[Line] = field(default_factory=list)
    signals: list[Signal] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Question:
    """An open question, with what is known of its answer."""

    text: str
    known: Sequence[str] = ()


async def gather(
    incident: Incident, journal: Journal | None, prometheus: Prometheus | None, platform: Platform | None
) -> Found:
    """Everything that is known around the stop; None is what cannot be reached."""
    found = Found()
    seen: list[Observation] = []
    if journal is None:
        found.missing.append("The journal could not be opened: events, samples and audit trail are missing.")
    else:
        try:
            seen = await _from_journal(incident, journal, found)
        except GamedayError as error:
            found.missing.append(f"The journal could not be read to its end: {error.message}")
    found.signals = _signals(seen, await _measured(incident, prometheus, platform, found))
    found.timeline.sort(key=lambda line: line.at)
    return found


async def _from_journal(incident: Incident, journal: Journal, found: Found) -> list[Observation]:
    since = incident.began - AROUND
    named = {one.run for one in incident.report.outcomes if one.run}
    found.runs = [
        record
        for record in await journal.latest(_RUNS)
        if record.run in named or record.ended_at is None or record.ended_at >= since
    ]
    seen: list[Observation] = []
    for record in found.runs:
        found.timeline += [_of_event(one) for one in await journal.events(record.run) if _tells(one, since)]
        seen += [one for one in await journal.observations(record.run) if one.at >= since]
    recent = await Audit(journal).latest(500)
    found.timeline += [_of_entry(one) for one in recent if one.at >= since]
    return seen


def _tells(event: Event, since: datetime) -> bool:
    """Whether an event belongs there; a sample does where a signal is not well."""
    if event.at < since:
        return False
    signals = event.data.get("signals") or ()
    return event.kind != "sample" or any(one.get("state") in _NOT_WELL for one in signals)


def _of_event(event: Event) -> Line:
    return Line(event.at, event.run, event.message.partition("\n")[0])


def _of_entry(entry: Entry) -> Line:
    where = f"{entry.by}, by {entry.source} on {entry.host}"
    reason = f": {entry.detail['reason']}" if entry.detail.get("reason") else ""
    run = f" ({entry.run})" if entry.run else ""
    return Line(entry.at, f"audit {entry.number}", f"{entry.action}{run}, {where}{reason}")


async def _measured(
    incident: Incident, prometheus: Prometheus | None, platform: Platform | None, found: Found
) -> dict[Key, list[float]]:
    """What Prometheus has of every signal from before the stop until after it."""
    if prometheus is None or platform is None:
        found.missing.append("Prometheus could not be asked: how the signals went is missing.")
        return {}
    span = incident.began - AROUND, incident.ended
    signals = platform.prometheus.signals
    answers = await asyncio.gather(
        *(prometheus.range(one.query, *span, platform.prometheus.scrape_interval) for one in signals)
    )
    measured: dict[Key, list[float]] = {}
    for signal, answer in zip(signals, answers, strict=True):
        if answer.failure is not None:
            found.missing.append(f"{signal.name} is not known: {answer.failure}")
        for series in answer.series:
            key = (signal.name, series.labels.get("service", ""))
            measured.setdefault(key, []).extend(value for _, value in series.measured)
    return measured


def _signals(seen: Iterable[Observation], measured: Mapping[Key, Sequence[float]]) -> list[Signal]:
    judged: dict[Key, set[str]] = {}
    sampled: dict[Key, list[float]] = {}
    for one in sorted(seen, key=lambda one: one.at):
        judged.setdefault((one.signal, one.service), set()).add(one.state)
        if one.value is not None:
            sampled.setdefault((one.signal, one.service), []).append(one.value)
    return [
        Signal(
            *key, values=measured.get(key) or sampled.get(key) or (), judged=_worst(judged.get(key, set()))
        )
        for key in sorted({*judged, *measured})
    ]


def _worst(states: Collection[str]) -> str:
    return next((state for state in reversed(_NOT_WELL) if state in states), "ok" if states else "")


def questions(incident: Incident, found: Found) -> list[Question]:
    """What people must find out, with what is known."""
    at_work = [
        f"{one.run} was at work: {one.experiment}, for {one.requested_by} ({one.reason})"
        for one in found.runs
    ]
    ended = [
        f"{one.run} ended as {one.verdict}: {one.summary or 'no reason recorded'}"
        for one in found.runs
        if one.verdict is not None
    ]
    why = [f"{incident.by}: {incident.reason or 'no reason was given'}"]
    mended = [str(one) for one in incident.restarted]
    lever = [incident.lever] if incident.lever else []
    return [
        Question("What happened, and what did users notice of it?", _not_well(found)),
        Question("What was the trigger: an experiment, or something else at the same time?", at_work),
        Question("Why was it stopped?", why),
        Question("Who noticed, and how? Did a guardrail or an alert say so before a person did?", ended),
        Question("Is every fault over?", _over(incident.report)),
        Question("What had to be mended, by whom?", mended),
        Question("Which guardrail, threshold, runbook or fix keeps this from happening again?"),
        Question("When is the safety lever released, and what must be true before?", lever),
    ]


def _not_well(found: Found) -> list[str]:
    return [
        f"{one.name}{f' of {one.service}' if one.service else ''} was judged {one.judged}"
        for one in found.signals
        if one.judged in _NOT_WELL
    ]


def _over(report: StopReport) -> list[str]:
    if report.clean:
        took = f"{report.seconds:.1f} s after the stop began"
        return [f"Yes, proved for all {len(report.outcomes)} objects, {took}."]
    return ["Not proved:", *report.todo]


def render(incident: Incident, found: Found) -> str:
    """The review as Markdown."""
    text = markdown.get_template("review.md.j2").render(
        incident=incident, found=found, questions=questions(incident, found), since=incident.began - AROUND
    )
    return redacted(text)


def write(incident: Incident, found: Found, directory: Path) -> Path:
    """Write the review into ``directory``, beside the reports. Raises ``ReportError``."""
    path = directory / f"{incident.name}.md"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        path.write_text(render(incident, found), encoding="utf-8")
    except OSError as error:
        raise ReportError(
            f"{path}: the review cannot be written ({error})", hint="GAMEDAY_REPORTS_DIR names another place."
        ) from None
    return path
