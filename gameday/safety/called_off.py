"""Why: a run that was called off says in its own verdict by whom and why, not only the audit trail.

Whoever stops a run takes its Lease away, which tells the run that, and nothing more. The name stands
beside the safety lever, in the ConfigMap that every run may read and everybody who may stop may write.
It is a courtesy: a stop neither waits for it nor fails with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from gameday.clients.kubernetes import Cluster
from gameday.clients.types import ConfigMap
from gameday.errors import ConflictError, GamedayError, NotFoundError
from gameday.redaction import redacted
from gameday.safety.lever import NAME
from gameday.typed import one_line

KEPT: Final = 20
_KEY: Final = "calledOff"
_TRIES: Final = 4


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls runs off, and why."""

    by: str
    reason: str = ""

    def __str__(self) -> str:
        # Anybody who may read the chaos namespace reads it.
        by, reason = one_line(redacted(self.by)), one_line(redacted(self.reason))
        return f"{by}: {reason}" if reason else by


async def note(cluster: Cluster, namespace: str, runs: Iterable[str], caller: Caller) -> None:
    """Write down who calls ``runs`` off. Raises an ``OutsideError`` where that cannot be done."""
    ours = [{"run": run, "by": str(caller)} for run in runs]
    for attempt in range(1, _TRIES + 1):
        there = await _there(cluster, namespace)
        noted = json.dumps([*_noted(there.data), *ours][-KEPT:])
        try:
            await cluster.write_config_map(replace(there, data={**there.data, _KEY: noted}))
        except ConflictError:
            if attempt == _TRIES:
                raise
        else:
            return


async def by_whom(cluster: Cluster, namespace: str, run: str) -> str:
    """Who called ``run`` off, and why; "" where nobody has said so, or it cannot be read."""
    try:
        there = await _there(cluster, namespace)
    except GamedayError:
        return ""
    return next((one["by"] for one in reversed(_noted(there.data)) if one["run"] == run), "")


async def _there(cluster: Cluster, namespace: str) -> ConfigMap:
    try:
        return await cluster.config_map(namespace, NAME)
    except NotFoundError:
        return ConfigMap(NAME, namespace, {})


def _noted(data: Mapping[str, str]) -> list[dict[str, str]]:
    """What can be read; whatever is spoilt there names nobody."""
    try:
        listed: Any = json.loads(data.get(_KEY) or "[]")
    except (ValueError, RecursionError):
        return []
    rows = [row for row in listed if isinstance(row, dict)] if isinstance(listed, list) else []
    return [{"run": str(row.get("run", "")), "by": one_line(str(row.get("by", "")))} for row in rows]
