"""Why: the guide asks for a checklist before each experiment, and people tick what nobody looked at.

What can be checked is filled in with what was found; the rest, and what is not well, is left for a
person to confirm. Only looks. Who is asked, and what a missing answer means, is ``approval``'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from gameday.clients.answers import Why
from gameday.clients.slack import Terminal
from gameday.errors import GamedayError, NotFoundError
from gameday.guard.leader import LEASE
from gameday.health import Check
from gameday.journal.approvals import Item
from gameday.plan.model import Plan
from gameday.run.context import Run, Session
from gameday.safety.occasion import within
from gameday.spec.base import format_duration
from gameday.spec.guardrails import Hours
from gameday.spec.platform import Platform

# What fires always, to show that alerting works, and what is only for information.
_ALERTS: Final = 'ALERTS{alertstate="firing",severity!~"none|info"}'
_MONITORING: Final = "Prometheus"
_STOPPING: Final = "permissions"
_OTHERS: Final = "no other faults"


async def checklist(run: Run, checks: Sequence[Check]) -> tuple[Item, ...]:
    """The pre-experiment checklist of ``run``; ``checks`` is what its health check found."""
    alerts, guard = await asyncio.gather(_alerts(run.session), _guard(run))
    seeing = [check for check in checks if check.name.startswith(_MONITORING)]
    platform = [check for check in checks if check not in seeing and check.name not in {_STOPPING, _OTHERS}]
    return (
        _looked_at("services", "All services are healthy", platform),
        _looked_at("monitoring", "Monitoring is operational", seeing),
        alerts,
        _looked_at("others", "Nothing else is being broken", _named(checks, _OTHERS)),
        _looked_at("rollback", "The faults can be ended at any moment", _named(checks, _STOPPING)),
        guard,
        _hours(run),
        _told(run.session),
        *for_people(run.plan, run.session.catalogue.platform),
    )


def for_people(plan: Plan, platform: Platform) -> tuple[Item, ...]:
    """What nobody but a person can confirm of ``plan``."""
    services = [platform.service(name) for name in plan.services]
    teams = ", ".join(dict.fromkeys(service.owner for service in services)) or plan.owner
    stateful = ", ".join(service.name for service in services if service.stateful)
    stop = "`gameday stop RUN` ends the faults, `gameday halt` everything"
    items = [
        Item("available", "The teams are available", "open", f"{teams}, for {format_duration(plan.longest)}"),
        Item("procedures", "The emergency procedures are reviewed", "open", stop),
        Item("incidents", "No incident is going on", "open", "that no alert tells of"),
    ]
    if stateful:
        items.append(Item("backup", "There is a backup that was tried", "open", f"of {stateful}"))
    return tuple(items)


def _named(checks: Iterable[Check], name: str) -> list[Check]:
    return [check for check in checks if check.name == name]


def _looked_at(key: str, text: str, checks: Sequence[Check]) -> Item:
    bad = [f"{check.name}: {check.found}" for check in checks if not check.ok]
    if bad or not checks:
        return Item(key, text, "bad", "; ".join(bad) or "it was not looked at")
    found = checks[0].found if len(checks) == 1 else f"{len(checks)} checks are well"
    return Item(key, text, "ok", found)


async def _alerts(session: Session) -> Item:
    text = "No alert is firing"
    reading = await session.prometheus.instant(_ALERTS)
    if reading.failure is not None and reading.failure.reason is not Why.EMPTY:
        return Item("alerts", text, "bad", str(reading.failure))
    firing = sorted({one.labels.get("alertname", "an alert") for one in reading.measurements})
    return Item("alerts", text, "bad" if firing else "ok", ", ".join(firing) or "none fires in Prometheus")


async def _guard(run: Run) -> Item:
    text = "The guard is running"
    try:
        lease = await run.session.cluster.lease(run.plan.chaos_namespace, LEASE)
    except NotFoundError:
        return Item("guard", text, "open", "there is none in this cluster; a run is then ended without it")
    except GamedayError as error:
        return Item("guard", text, "bad", error.message)
    if lease.lapsed(run.now()):
        return Item("guard", text, "bad", f"its Lease has lapsed; last seen {_ago(run, lease.renewed)}")
    return Item("guard", text, "ok", f"{lease.holder} leads")


def _ago(run: Run, moment: datetime | None) -> str:
    if moment is None:
        return "never"
    return f"{format_duration(timedelta(seconds=round((run.now() - moment).total_seconds())))} ago"


def _hours(run: Run) -> Item:
    """Business hours: those of the environment, else anybody's."""
    text = "It is business hours"
    rules = run.session.catalogue.guardrails.hours
    own = [rule for rule in rules if not rule.environments or run.plan.environment in rule.environments]
    now, last = run.now(), run.now() + run.plan.longest
    if within(own or rules or [Hours()], now, last):
        return Item("hours", text, "ok", f"{now:%A %H:%M} UTC")
    return Item("hours", text, "open", f"it is {now:%A %H:%M} UTC: are people there until {last:%H:%M}")


def _told(session: Session) -> Item:
    text = "The team is notified"
    environment = session.environment
    if isinstance(session.messenger, Terminal):
        return Item("notified", text, "open", "there is no Slack here: tell them by other ways")
    how = "or the run does not start" if environment.must_notify else "before the first fault"
    return Item("notified", text, "ok", f"{environment.channel} is told, {how}")
