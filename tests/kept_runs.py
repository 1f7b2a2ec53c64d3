"""Runs as a journal holds them, for whatever reads journals."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from gameday.journal.history import RunRow
from gameday.journal.store import Event, FaultRecord, Journal, Observation, RunRecord, Verdict
from gameday.run.comeback import Comeback

AT = datetime(2026, 11, 23, 10, 15, tzinfo=UTC)
DAY = timedelta(days=1)
PLAN: dict[str, Any] = {
    "stages": [
        {
            "name": "kill",
            "duration": "60s",
            "faults": [
                {
                    "name": "f1",
                    "kind": "PodChaos",
                    "chaosObject": {"spec": {"action": "pod-kill"}},
                    "shares": [{"service": "api-gateway", "hit": 1, "of": 3}],
                },
                {
                    "name": "never-injected",
                    "kind": "StressChaos",
                    "chaosObject": {"spec": {}},
                    "shares": [{"service": "redis", "hit": 1, "of": 1}],
                },
            ],
        }
    ]
}


async def a_run(journal: Journal, name: str, at: datetime = AT, **more: Any) -> str:
    """A run that is under way."""
    values: dict[str, Any] = {"experiment": "trial", "environment": "staging", **more}
    await journal.begin(
        RunRecord(run=name, requested_by="platform-team", reason="why", started_at=at, plan=PLAN, **values)
    )
    await journal.put_fault(name, FaultRecord("f1", "PodChaos", "ns", "kill", at, injected_at=at))
    await journal.put_fault(name, FaultRecord("never-injected", "StressChaos", "ns", "kill", at))
    seen = [
        Observation(at, "kill", "availability", service, value, None, "ok")
        for service, value in (("api-gateway", 0.5), ("redis", 1.0))
    ]
    await journal.observe(name, seen, Event(name, at, "sample", "a look"))
    return name


async def an_ended_run(
    journal: Journal, name: str, at: datetime = AT, verdict: Verdict = Verdict.HELD, **more: Any
) -> str:
    """A run that went through all of it."""
    await a_run(journal, name, at, **more)
    back = {
        "stage": "kill",
        "service": "api-gateway",
        "hitBy": ["PodChaos pod-kill"],
        "killed": True,
        "replacedS": 8.0,
        "outcome": "back",
        "since": "the kill",
        "tookS": 12.0,
    }
    services = [Comeback.model_validate(back).model_dump(mode="json", by_alias=True)]
    await journal.append(Event(name, at, "recovered", "back", {"services": services}))
    await journal.append(Event(name, at, "recovery", "well", {"took_s": 20.0, "in_time": True}))
    await journal.conclude(name, verdict, "why", at + timedelta(minutes=6))
    return name


def a_row(at: datetime = AT, verdict: Verdict | None = Verdict.HELD, **more: Any) -> RunRow:
    """A run of an hour, as the history tells of it."""
    values: dict[str, Any] = {
        "run": f"run-{at:%Y%m%dT%H%M}",
        "experiment": "trial",
        "environment": "staging",
        "requested_by": "platform-team",
        "reason": "why",
        "started_at": at,
        "ended_at": at + timedelta(hours=1) if verdict else None,
        "verdict": verdict,
        "summary": "",
        "suite": None,
        "digest": None,
    }
    return RunRow(**values | more)
