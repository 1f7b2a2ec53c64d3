"""Why: after a stop, people must be told, the trail kept, a review opened; and none of it may hold it up.

The rest of the emergency protocol, for ``halt``, ``resume`` and ``stop``, once the faults are ended:
audit trail, Slack, Prefect's UI, incident management, restart, review. Each part has a time limit, and
each failure is one line.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gameday.cli.output import note
from gameday.cli.place import Place
from gameday.clients.incidents import IncidentWebhook
from gameday.clients.prometheus import Prometheus, prometheus_url
from gameday.clients.slack import Message, Messenger, Terminal, Thread, attempt, messenger
from gameday.clock import Clock, SystemClock
from gameday.errors import GamedayError
from gameday.journal.audit import Action, Audit
from gameday.journal.store import Journal
from gameday.redaction import redacted
from gameday.report.review import Incident, gather, write
from gameday.safety.lever import LeverState
from gameday.safety.restart import Restarted
from gameday.safety.stop_report import StopReport
from gameday.settings import Settings, load

if TYPE_CHECKING:
    from gameday.spec.platform import Platform

SOURCE: Final = "command"

_PREFECT_PATIENCE_S: Final = 15.0
_JOURNAL_PATIENCE_S: Final = 15.0
_REVIEW_PATIENCE_S: Final = 30.0


@dataclass(frozen=True)
class Act:
    """One action for the audit trail."""

    action: Action
    detail: Mapping[str, Any] = field(default_factory=dict)
    run: str = ""


@dataclass
class Emergency:
    """What a person has done, and what is to be told of it."""

    command: str
    by: str
    reason: str
    place: Place
    clock: Clock
    began: datetime
    settings: Settings = field(default_factory=load)
    report: StopReport | None = None
    lever: LeverState | None = None
    restarted: Sequence[Restarted] = ()
    runs: Sequence[str] = ()  # named by whoever stopped them, whether anything of them was live or not
    told: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    thread: Thread | None = None
    name: str = ""

    def __post_init__(self) -> None:
        """Give it a name, by which incident management knows it."""
        self.name = self.name or f"incident-{self.began:%Y%m%dt%H%M%S}-{secrets.token_hex(2)}"

    def fail(self, what: str) -> None:
        """Say in one line what could not be done; everything else goes on."""
        line = redacted(" ".join(what.split()))
        self.failed.append(line)
        note(line, style="yellow")

    def tell(self, what: str) -> None:
        """Say in one line what was done."""
        self.told.append(what)
        note(what)


async def each(emergency: Emergency, **parts: Awaitable[None]) -> None:
    """Do all ``parts`` at once; one that fails is told, and keeps no other from being done."""
    done = await asyncio.gather(*parts.values(), return_exceptions=True)
    for what, result in zip(parts, done, strict=True):
        if isinstance(result, GamedayError):
            emergency.fail(f"{what.replace('_', ' ').capitalize()}: {result.message} {result.hint}".strip())
        elif isinstance(result, Exception):
            emergency.fail(f"{what.replace('_', ' ').capitalize()}: unexpectedly, {result!r}")
        elif result is not None:
            raise result


# The audit trail.


async def account(emergency: Emergency, *acts: Act) -> None:
    """Write ``acts`` into the audit trail. That it cannot be written is told, and holds nothing up."""
    try:
        async with (
            asyncio.timeout(_JOURNAL_PATIENCE_S),
            Journal.open(emergency.settings.database_url) as journal,
        ):
            for act in acts:
                await _account_for(emergency, Audit(journal), act)
    except TimeoutError:
        emergency.fail("The audit trail does not have this: the journal does not answer.")
    except GamedayError as error:
        emergency.fail(f"The audit trail does not have this: {error.message}")


async def _account_for(emergency: Emergency, audit: Audit, act: Act) -> None:
    why = await audit.attempt(
        act.action, by=emergency.by, source=SOURCE, at=emergency.clock.now(), run=act.run, detail=act.detail
    )
    if why:
        emergency.fail(f"The audit trail misses {act.action}: {why}")


# People.


def _messenger(emergency: Emergency) -> Messenger | None:
    found = messenger(emergency.settings, note)
    return None if isinstance(found, Terminal) else found


async def tell_channels(emergency: Emergency, message: Message) -> None:
    """Tell the channel of each environment in the cluster."""
    sender = _messenger(emergency)
    if sender is None:
        emergency.fail("Nobody was told: there is neither GAMEDAY_SLACK_TOKEN nor GAMEDAY_SLACK_WEBHOOK_URL.")
    elif not emergency.place.environments:
        emergency.fail("Nobody was told: no environment of platform.yaml has this context. Say --env.")
    else:
        channels = dict.fromkeys(one.channel for one in emergency.place.environments)
        await asyncio.gather(*(_post(emergency, sender, channel, message) for channel in channels))


async def _post(emergency: Emergency, sender: Messenger, channel: str, message: Message) -> Thread | None:
    delivery = await attempt(sender.open_thread(channel, message))
    if delivery.ok:
        emergency.tell(f"Told {channel}.")
    else:
        emergency.fail(f"{channel} was not told: {delivery.why} {delivery.hint}".strip())
    return delivery.thread


async def show_in_prefect(emergency: Emergency) -> None:
    """Show the lever in Prefect's UI, where a Prefect API is configured."""
    if emergency.lever is None or not _has_prefect():
        return
    try:
        async with asyncio.timeout(_PREFECT_PATIENCE_S):
            # Imported beside everything else: it takes seconds.
            shown = await asyncio.to_thread(importlib.import_module, "flows.safety_lever")
            if await shown.show(emergency.lever, emergency.place.name):
                emergency.tell("Shown in Prefect: artifact safety-lever.")
    except TimeoutError:
        emergency.fail(f"Prefect does not show it: no answer within {_PREFECT_PATIENCE_S:g} s.")
    except Exception as error:  # whatever Prefect's client raises, it is only a picture
        emergency.fail(f"Prefect does not show it: {error!r}")


def _has_prefect() -> bool:
    """Whether Prefect can be configured here, without importing it."""
    home = Path(os.environ.get("PREFECT_HOME") or Path.home() / ".prefect")
    return bool(os.environ.get("PREFECT_API_URL")) or (home / "profiles.toml").exists()


# Incident management.


async def notify_incidents(emergency: Emergency) -> None:
    """Tell incident management: its Slack channel and its webhook, whichever there is."""
    await each(
        emergency, incident_channel=_tell_incidents(emergency), incident_webhook=_call_webhook(emergency)
    )


async def _tell_incidents(emergency: Emergency) -> None:
    platform, sender = emergency.place.platform, _messenger(emergency)
    if platform is None or platform.incidents is None or sender is None:
        return
    emergency.thread = await _post(emergency, sender, platform.incidents, incident_message(emergency))


async def _call_webhook(emergency: Emergency) -> None:
    url = emergency.settings.incident_webhook_url
    if url is None:
        return
    await IncidentWebhook(url.get_secret_value(), clock=SystemClock()).post(incident_body(emergency))
    emergency.tell("Told incident management.")


async def follow_up(emergency: Emergency, text: str) -> None:
    """Go on in the thread of the incident, where there is one."""
    sender = _messenger(emergency)
    if emergency.thread is None or sender is None or not text:
        return
    delivery = await attempt(sender.reply(emergency.thread, Message(text)))
    if not delivery.ok:
        emergency.fail(f"The thread of the incident misses the rest: {delivery.why}")


def incident_message(emergency: Emergency) -> Message:
    """What incident management reads in Slack."""
    report = emergency.report
    fields = {
        "Environment": emergency.place.name,
        "By": emergency.by,
        "Reason": emergency.reason or "none was given",
        "Incident": emergency.name,
    }
    if emergency.lever is not None and emergency.lever.engaged:
        fields["Safety lever"] = "engaged: nothing new starts until `gameday resume`"
    todo = [f"To do: {line}" for line in report.todo[:10]] if report else []
    return Message(
        "\n".join([summary(emergency), *todo]), title=f"{emergency.command} was called", fields=fields
    )


def summary(emergency: Emergency) -> str:
    """What came of it, in one sentence."""
    return emergency.report.lines()[0] if emergency.report is not None else str(emergency.lever)


def incident_body(emergency: Emergency) -> dict[str, Any]:
    """What the webhook gets; ``docs/reference/incident-webhook.md`` explains it."""
    report, lever = emergency.report, emergency.lever
    clean = report is not None and report.clean
    stopped = report.as_dict() if report is not None else {}
    return {
        "id": emergency.name,
        "event": "halt" if lever is not None else "stop",
        "severity": "warning" if clean else "critical",
        "summary": summary(emergency),
        "at": emergency.began,
        "by": emergency.by,
        "reason": emergency.reason,
        "host": socket.gethostname(),
        "environment": emergency.place.name,
        "clean": clean,
        "runs": sorted({one.run for one in report.outcomes if one.run}) if report is not None else [],
        "objects": stopped.get("objects", []),
        "todo": stopped.get("todo", []),
        "lever": lever_row(lever) if lever is not None else None,
    }


def lever_row(state: LeverState) -> dict[str, Any]:
    """The lever for programs."""
    return {
        "engaged": state.engaged,
        "since": state.since,
        "by": state.by or None,
        "reason": state.reason or None,
        "source": state.source or None,
    }


# The review.


async def open_review(emergency: Emergency) -> Path | None:
    """Open a post-incident review in the reports' directory."""
    if emergency.report is None:
        return None
    incident = Incident(
        name=emergency.name,
        began=emergency.began,
        ended=emergency.clock.now(),
        by=emergency.by,
        reason=emergency.reason,
        command=emergency.command,
        environment=emergency.place.name,
        report=emergency.report,
        lever=str(emergency.lever) if emergency.lever is not None else "",
        restarted=emergency.restarted,
        told=(*emergency.told, *emergency.failed),
    )
    try:
        async with (
            asyncio.timeout(_REVIEW_PATIENCE_S),
            _journal(emergency.settings) as journal,
            _prometheus(emergency, emergency.place.platform) as prometheus,
        ):
            found = await gather(incident, journal, prometheus, emergency.place.platform)
            path = write(incident, found, emergency.settings.reports_dir)
    except TimeoutError:
        emergency.fail("No review was opened: journal or Prometheus took too long.")
    except GamedayError as error:
        emergency.fail(f"No review was opened: {error.message} {error.hint}".strip())
    else:
        emergency.tell(f"A post-incident review was opened: {path}")
        return path
    return None


@asynccontextmanager
async def _journal(settings: Settings) -> AsyncIterator[Journal | None]:
    opening = Journal.open(settings.database_url)
    try:
        journal = await opening.__aenter__()
    except GamedayError:
        yield None
        return
    try:
        yield journal
    finally:
        await opening.__aexit__(None, None, None)


@asynccontextmanager
async def _prometheus(emergency: Emergency, platform: Platform | None) -> AsyncIterator[Prometheus | None]:
    if platform is None or not emergency.place.environments:
        yield None
        return
    try:
        url = prometheus_url(emergency.settings, emergency.place.environments[0])
    except GamedayError:
        yield None
        return
    async with Prometheus(
        url, clock=emergency.clock, timeout=emergency.settings.prometheus_timeout
    ) as prometheus:
        yield prometheus
