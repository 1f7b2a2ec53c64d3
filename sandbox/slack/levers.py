"""Why: a run must survive a Slack that fails, so this one fails on demand.

Holds what is wrong at the moment and for how many calls yet. ``app`` asks before it answers.
"""

from __future__ import annotations

import asyncio
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

# What the app of the guide's workspace was given; Slack tells it with every answer.
SCOPES = ("channels:read", "chat:write", "files:write")
# The scope that a method asks for, by how its name begins; the others are not held to one here.
_NEEDED = {"chat.": "chat:write", "files.": "files:write", "conversations.list": "channels:read"}

FaultKind = Literal["none", "error", "unavailable", "ratelimited", "stalling"]


class SlackFault(BaseModel):
    """What is wrong with Slack.

    ``error`` answers ok=false with the name in ``error``; ``unavailable`` answers HTTP 503;
    ``ratelimited`` answers HTTP 429 with Retry-After; ``stalling`` does not answer until mended.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: FaultKind = "none"
    error: str = "internal_error"
    retry_after: int = Field(default=1, ge=0, description="seconds")
    times: int | None = Field(
        default=None, ge=1, description="how many calls it concerns; unset: until mended"
    )
    methods: tuple[str, ...] = Field(default=(), description="such as chat.postMessage; empty: all of them")


class Granted(BaseModel):
    """What the bot's token may do."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scopes: tuple[str, ...] = SCOPES

    def missing(self, method: str) -> str:
        """The scope that a call of ``method`` lacks; "" where it lacks none."""
        needed = next((scope for name, scope in _NEEDED.items() if method.startswith(name)), "")
        return "" if needed in self.scopes else needed


class Levers:
    """The fault in force, and what the token may do."""

    def __init__(self) -> None:
        """Begin with a Slack that works."""
        self.granted = Granted()
        self._fault = SlackFault()
        self._left: int | None = None
        self._changed = asyncio.Event()

    @property
    def fault(self) -> SlackFault:
        """What is wrong now."""
        return self._fault

    def set(self, fault: SlackFault) -> None:
        """From now on, ``fault`` and no other; calls that were stalled go on."""
        self._fault = fault
        self._left = fault.times
        self._changed.set()
        self._changed = asyncio.Event()

    def strike(self, method: str) -> SlackFault | None:
        """The fault that hits this call of ``method``, if any; counts it."""
        fault = self._fault
        if fault.kind == "none" or (fault.methods and method not in fault.methods):
            return None
        if self._left is not None:
            self._left -= 1
            if self._left == 0:
                self._fault = SlackFault()
        return fault

    async def changed(self) -> None:
        """Return when the levers are next moved."""
        await self._changed.wait()
