"""Why: one switch keeps everything from starting, whoever wants to start it, until a person says so.

The safety lever is the ConfigMap ``gameday-safety`` in the chaos namespace: runs read it here, the
admission policy in the API server itself. Reading and turning it is all that happens here. It ends
no fault: whoever engages it calls the emergency stop, too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from gameday.clients.kubernetes import Cluster
from gameday.clients.times import parsed, written
from gameday.clients.types import ConfigMap
from gameday.clock import Clock
from gameday.errors import ConflictError, GamedayError, NotFoundError, UnreachableError, UsageError
from gameday.redaction import redacted
from gameday.typed import one_line

NAME: Final = "gameday-safety"
KEPT: Final = 20
"""How many turns its history holds; the audit trail has them all."""

_CALL_TIMEOUT: Final = timedelta(seconds=5)
_CALL_ATTEMPTS: Final = 2
# Each conflict means that somebody else turned it; more than a few in a row is not a race any more.
_TRIES: Final = 6
_HALTED: Final = {"true": True, "false": False, "": False}
_MANAGED: Final = {"app.kubernetes.io/managed-by": "gameday"}


class LeverError(GamedayError):
    """The ConfigMap is there, and does not say clearly whether the lever is engaged."""


@dataclass(frozen=True, slots=True)
class Turned:
    """One turn of the lever: ``action`` is ``engaged`` or ``released``."""

    action: str
    by: str
    reason: str
    at: str  # ISO, UTC
    source: str


@dataclass(frozen=True, slots=True)
class LeverState:
    """How the lever stands, and who turned it last: ``by``, ``reason``, ``since`` and ``source``.

    ``source`` is the door: ``command``, ``guard``, and so on. The oldest turn is first in ``history``.
    """

    engaged: bool = False
    by: str = ""
    reason: str = ""
    since: datetime | None = None
    source: str = ""
    history: tuple[Turned, ...] = ()

    def __str__(self) -> str:
        if not self.engaged:
            return "the safety lever is not engaged"
        since = f" since {self.since.isoformat(timespec='seconds')}" if self.since else ""
        why = f": {self.reason}" if self.reason else ""
        return f"the safety lever is engaged{since} by {self.by or 'somebody'}{why}"


class Turn(NamedTuple):
    """How the lever stands after a turn, and whether this turn changed it."""

    state: LeverState
    changed: bool


async def read(cluster: Cluster, namespace: str) -> LeverState:
    """How the lever in ``namespace`` (the chaos namespace) stands; a missing one is not engaged.

    Raises an ``OutsideError`` where the cluster does not tell, and ``LeverError`` where the ConfigMap
    cannot be understood: both mean that nothing may start.
    """
    return _state(await _there(cluster, namespace))


async def engage(
    cluster: Cluster, namespace: str, *, by: str, reason: str, source: str, clock: Clock
) -> Turn:
    """Engage the lever. Where it is engaged already, whoever was first stays named.

    One that cannot be understood is engaged all the same. Raises an ``OutsideError`` where the
    cluster refuses or does not answer.
    """
    turned = _turned("engaged", by, reason, source, clock)

    def engaged(there: ConfigMap) -> LeverState | None:
        try:
            before = _state(there)
        except LeverError:
            before = LeverState(history=_history(there.data))
        return None if before.engaged else _after(before, turned)

    return await _turn(cluster, namespace, turned, engaged)


async def release(
    cluster: Cluster, namespace: str, *, by: str, reason: str, source: str, clock: Clock
) -> Turn:
    """Release the lever, so that runs may start again.

    Raises ``UsageError`` without a name and a reason, and an ``OutsideError`` where the cluster
    refuses or does not answer.
    """
    if not by.strip() or not reason.strip():
        raise UsageError("the safety lever is released by somebody, for a reason: both must be given")
    turned = _turned("released", by, reason, source, clock)

    def released(there: ConfigMap) -> LeverState | None:
        try:
            before = _state(there)
        except LeverError:
            # Nobody can tell how it stands; a person who gave their name may say so.
            return _after(LeverState(history=_history(there.data)), turned)
        return _after(before, turned) if before.engaged else None

    return await _turn(cluster, namespace, turned, released)


async def _turn(
    cluster: Cluster, namespace: str, turned: Turned, change: Callable[[ConfigMap], LeverState | None]
) -> Turn:
    brisk = Cluster(cluster.api.within(timeout=_CALL_TIMEOUT, attempts=_CALL_ATTEMPTS))
    failure: GamedayError | None = None
    for _ in range(_TRIES):
        there = await _there(brisk, namespace)
        wanted = change(there)
        if wanted is None:
            state = _state(there)
            # A write that was never answered, or answered as a conflict with itself, may have been ours.
            return Turn(state, changed=failure is not None and turned in state.history[-1:])
        labels = {**there.labels, **_MANAGED}
        try:
            await brisk.write_config_map(replace(there, labels=labels, data={**there.data, **_data(wanted)}))
        except (ConflictError, UnreachableError) as error:
            failure = error
        else:
            return Turn(wanted, changed=True)
    raise failure or ConflictError("Kubernetes", f"somebody kept changing the ConfigMap {namespace}/{NAME}")


async def _there(cluster: Cluster, namespace: str) -> ConfigMap:
    try:
        return await cluster.config_map(namespace, NAME)
    except NotFoundError:
        return ConfigMap(NAME, namespace, {})


def _turned(action: str, by: str, reason: str, source: str, clock: Clock) -> Turned:
    # Anybody who may read the chaos namespace reads the reason.
    return Turned(action, one_line(redacted(by)), one_line(redacted(reason)), written(clock.now()), source)


def _after(before: LeverState, turned: Turned) -> LeverState:
    return LeverState(
        engaged=turned.action == "engaged",
        by=turned.by,
        reason=turned.reason,
        since=parsed(turned.at),
        source=turned.source,
        history=(*before.history, turned)[-KEPT:],
    )


def _data(state: LeverState) -> dict[str, str]:
    return {
        "halted": "true" if state.engaged else "false",
        "by": state.by,
        "reason": state.reason,
        "since": written(state.since) if state.since else "",
        "source": state.source,
        "history": json.dumps([asdict(one) for one in state.history]),
    }


def _state(there: ConfigMap) -> LeverState:
    data = there.data
    halted = data.get("halted", "")
    if halted not in _HALTED:
        raise LeverError(
            f"The safety lever, ConfigMap {there.namespace}/{there.name}, cannot be read: "
            f"halted is {redacted(halted)!r}, expected 'true' or 'false'.",
            hint="Look into it, then engage it (`gameday halt`) or release it (`gameday resume`).",
        )
    return LeverState(
        engaged=_HALTED[halted],
        by=data.get("by", ""),
        reason=data.get("reason", ""),
        since=parsed(data.get("since")),
        source=data.get("source", ""),
        history=_history(data),
    )


def _history(data: Mapping[str, str]) -> tuple[Turned, ...]:
    """The turns that can be read; a spoilt history says nothing about how the lever stands."""
    try:
        listed: Any = json.loads(data.get("history") or "[]")
    except (ValueError, RecursionError):
        return ()
    names = [one.name for one in fields(Turned)]
    rows = [row for row in listed if isinstance(row, dict)] if isinstance(listed, list) else []
    return tuple(Turned(**{name: str(row.get(name, "")) for name in names}) for row in rows)
