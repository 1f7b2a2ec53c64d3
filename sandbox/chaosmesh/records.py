"""Why: a fault's status is the only proof of what happened, and its shape has traps that must be real.

Conditions are computed one pass behind the records and stand in random order; with no records yet,
AllInjected and AllRecovered are both vacuously True. Source: Chaos Mesh's
``controllers/common/{condition,records}``.
"""

from __future__ import annotations

import random
from typing import Final, Literal

from sandbox.chaosmesh.kinds import is_paused
from sandbox.kubernetes.errors import Obj

RUN: Final = "Run"
STOP: Final = "Stop"
NOT_INJECTED: Final = "Not Injected"
INJECTED: Final = "Injected"
APPLY_WAITS: Final = "Not Injected/Wait"
RECOVER_WAITS: Final = "Injected/Wait"
# Chaos Mesh keeps the last events of a record only (MAX_EVENTS).
_EVENTS_KEPT: Final = 10

Operation = Literal["Apply", "Recover"]


def new(identifier: str, side: str) -> Obj:
    """The record of a target that was just chosen."""
    return {
        "id": identifier,
        "selectorKey": side,
        "phase": NOT_INJECTED,
        "injectedCount": 0,
        "recoveredCount": 0,
    }


def of(obj: Obj) -> list[Obj]:
    """The records of a chaos object; none before targets are chosen."""
    experiment = (obj.get("status") or {}).get("experiment") or {}
    found: list[Obj] = experiment.get("containerRecords") or []
    return found


def desired(obj: Obj) -> str:
    """The desired phase; "" before the first pass."""
    return str(((obj.get("status") or {}).get("experiment") or {}).get("desiredPhase", ""))


def wanted(record: Obj, desired_phase: str) -> Operation | None:
    """What must be done to a record; a phase that waits is first brought to its end.

    The cycle is Not Injected, Not Injected/Wait, Injected, Injected/Wait, Not Injected.
    """
    phase = record["phase"]
    end = INJECTED if desired_phase == RUN else NOT_INJECTED
    if phase == end or not desired_phase:
        return None
    return "Apply" if phase.startswith(NOT_INJECTED) else "Recover"


def note(
    record: Obj, kind: Literal["Succeeded", "Failed"], operation: Operation, message: str, now: str
) -> None:
    """Add an event to a record."""
    event = {"type": kind, "operation": operation, "timestamp": now}
    if message:
        event["message"] = message
    record["events"] = [*(record.get("events") or ()), event][-_EVENTS_KEPT:]


def conditions(obj: Obj, chance: random.Random) -> list[Obj]:
    """The conditions that the records give, in random order; the old ones where nothing changed."""
    entries = of(obj)
    states = {
        "Selected": bool(entries),
        "AllInjected": all(record["phase"] == INJECTED for record in entries),
        "AllRecovered": all(record["phase"] == NOT_INJECTED for record in entries),
        "Paused": is_paused(obj),
    }
    before: list[Obj] = (obj.get("status") or {}).get("conditions") or []
    if {entry["type"]: entry["status"] == "True" for entry in before} == states:
        return before
    listed = [{"type": kind, "status": "True" if state else "False"} for kind, state in states.items()]
    chance.shuffle(listed)
    return listed
