"""Why: what can be made to go wrong with the API server, and what it counts, in one place.

The HTTP side asks here before it carries anything out; ``control`` pulls the levers over HTTP. What
goes wrong with the cluster itself (nodes, daemons, the Chaos Mesh controller) is left to those parts.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, Field

from sandbox.kubernetes.errors import ApiError
from sandbox.kubernetes.resources import Resource


class _Lever(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FailRule(_Lever):
    """Let calls fail: the ``next`` so many, a ``share`` of them, or all."""

    method: str = ".*"
    path: str = ".*"
    status: int = Field(default=500, ge=400, le=599)
    reason: str = ""
    message: str = "the sandbox was told to fail this call"
    next: int | None = Field(default=None, ge=1)
    share: float = Field(default=1.0, gt=0, le=1)


class StallRule(_Lever):
    """Let calls wait before they are carried out: for so many real ``seconds``, or until released."""

    method: str = ".*"
    path: str = ".*"
    seconds: float | None = Field(default=None, gt=0)
    next: int | None = Field(default=None, ge=1)


class ForbidRule(_Lever):
    """Let the authoriser say no; "*" stands for every verb, resource or namespace."""

    verbs: list[str] = ["*"]
    resources: list[str] = ["*"]
    group: str | None = None
    namespace: str = "*"
    user: str = "*"


_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


def _matches(rule: FailRule | StallRule, method: str, path: str) -> bool:
    return bool(re.fullmatch(rule.method, method) and re.search(rule.path, path))


@dataclass
class Levers:
    """The state of every lever, and the counters of calls."""

    chance: random.Random
    failing: list[FailRule] = field(default_factory=list)
    stalling: list[StallRule] = field(default_factory=list)
    forbidding: list[ForbidRule] = field(default_factory=list)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)

    def failure(self, method: str, path: str) -> ApiError | None:
        """The failure that this call must meet, if any; a rule of the ``next`` N is used up by it."""
        for rule in self.failing:
            if not _matches(rule, method, path):
                continue
            if rule.share < 1 and self.chance.random() >= rule.share:
                continue
            if rule.next is not None:
                rule.next -= 1
                if rule.next == 0:
                    self.failing.remove(rule)
            details = {"retryAfterSeconds": 1} if rule.status in (429, 503) else None
            reason = rule.reason or _REASONS.get(rule.status, "Unknown")
            return ApiError(rule.status, reason, rule.message, details=details)
        return None

    async def stall(self, method: str, path: str) -> None:
        """Wait for as long as this call must be kept waiting. Real time: clients wait in real time."""
        for rule in self.stalling:
            if not _matches(rule, method, path):
                continue
            if rule.next is not None:
                rule.next -= 1
                if rule.next == 0:
                    self.stalling.remove(rule)
            try:
                async with asyncio.timeout(rule.seconds):
                    await self.released.wait()
            except TimeoutError:
                return
            return

    def release(self) -> None:
        """Let every stalled call go on, and stall no more."""
        self.stalling.clear()
        self.released.set()
        self.released = asyncio.Event()

    def reset(self) -> None:
        """Put every lever back."""
        self.failing.clear()
        self.forbidding.clear()
        self.release()

    def allowed(
        self, user: str, verb: str, resource: Resource | str, namespace: str, group: str = ""
    ) -> bool:
        """Whether the authoriser lets ``user`` do that."""
        plural, group = (
            (resource.plural, resource.group) if isinstance(resource, Resource) else (resource, group)
        )
        return not any(
            (rule.user in ("*", user))
            and ("*" in rule.verbs or verb in rule.verbs)
            and ("*" in rule.resources or plural in rule.resources)
            and (rule.group is None or rule.group == group)
            and (rule.namespace in ("*", namespace))
            for rule in self.forbidding
        )

    def count(self, verb: str, resource: str, status: int) -> None:
        """Count one call."""
        self.calls[verb, resource] += 1
        self.statuses[status] += 1

    def counters(self) -> dict[str, object]:
        """What was called how often, by verb and resource, and with which status."""
        by_verb: dict[str, dict[str, int]] = {}
        for (verb, resource), number in sorted(self.calls.items()):
            by_verb.setdefault(verb, {})[resource] = number
        return {
            "total": sum(self.calls.values()),
            "calls": by_verb,
            "statuses": {str(status): number for status, number in sorted(self.statuses.items())},
        }

    def forget_calls(self) -> None:
        """Begin counting anew."""
        self.calls.clear()
        self.statuses.clear()
