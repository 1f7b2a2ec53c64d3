"""Why: teams hear of chaos in time, and once a week what it taught; on all other days it is quiet.

Writes two messages: what is about to be broken, for the teams that own what it touches and those that
depend on it, and what happened in a week. When they are sent, and to whom, is for the flows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from gameday.analysis.coverage import brings
from gameday.clients.slack import Message
from gameday.journal.actions import ActionItem
from gameday.journal.history import RunRow
from gameday.journal.store import Verdict
from gameday.spec.base import format_duration
from gameday.spec.experiment import Experiment
from gameday.spec.platform import Environment, Platform, Team

_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Coming:
    """A run that is due, of an experiment or of a suite of several."""

    name: str
    says: str
    experiments: Sequence[Experiment]
    environment: Environment
    at: datetime
    takes: timedelta

    def broken(self, platform: Platform) -> set[str]:
        """The services that it breaks."""
        return {service for one in self.experiments for service, _ in brings(one, platform)}


def concerned(coming: Coming, platform: Platform) -> dict[str, tuple[str, ...]]:
    """By team: its services that the run breaks or that depend on one that it breaks."""
    broken = coming.broken(platform)
    touched = broken | {caller for service in broken for caller in platform.dependents(service)}
    teams: dict[str, tuple[str, ...]] = {}
    for service in platform.services:
        if service.name in touched:
            teams[service.owner] = (*teams.get(service.owner, ()), service.name)
    return teams


def ahead(coming: Coming, team: Team, services: Collection[str], platform: Platform) -> Message:
    """What ``team`` is told before a run."""
    broken = coming.broken(platform)
    own = [name for name in services if name in broken]
    others = [name for name in services if name not in broken]
    fields = {
        "When": f"{coming.at:%Y-%m-%d %H:%M} UTC, for {format_duration(coming.takes)}",
        "Where": coming.environment.name,
        "Followed in": coming.environment.channel,
        "Call it off": "gameday halt --reason …, or cancel the run in Prefect",
    }
    if own:
        fields["Your services that are broken"] = ", ".join(own)
    if others:
        fields["Yours that depend on them"] = ", ".join(others)
    return Message(coming.says, title=f"{coming.name} is coming: {team.name}", fields=fields)


def week(
    rows: Sequence[RunRow], items: Iterable[ActionItem], coming: Sequence[Coming], now: datetime
) -> Message | None:
    """The week in one message; None where there is nothing to say."""
    overdue = [item for item in items if item.overdue(now)]
    ended = [row for row in rows if row.verdict is not None]
    if not (ended or overdue or coming):
        return None
    counts = Counter(row.verdict for row in ended)
    told = ", ".join(f"{counts[verdict]} {verdict.value}" for verdict in Verdict if counts[verdict])
    lines = [f"{len(ended)} runs: {told}." if ended else "No run took place."]
    lines += [
        f"{row.experiment} on {row.where}: {row.verdict.value}, {row.summary}"
        for row in ended
        if row.verdict is not None and row.verdict is not Verdict.HELD
    ][:_SHOWN]
    fields = {}
    if found := sum(row.findings for row in ended):
        fields["Findings"] = str(found)
    if hands := sum(row.interventions for row in ended):
        fields["Interventions by hand"] = str(hands)
    if overdue:
        names = "; ".join(f"{item.item} {item.title} ({item.owner})" for item in overdue[:_SHOWN])
        fields[f"Overdue ({len(overdue)})"] = names
    if coming:
        names = "; ".join(f"{one.name} {one.at:%a %H:%M} UTC" for one in coming[:_SHOWN])
        fields["Coming"] = names
    return Message("\n".join(lines), title="The week in chaos", fields=fields)
