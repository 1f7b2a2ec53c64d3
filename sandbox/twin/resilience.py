"""Why: what keeps a platform up under faults is also what makes its failures hard to foresee.

The circuit breaker and the retry budget, as the services' client libraries have them.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from gameday.spec.twin import Breaker

CLOSED: Final = 0
HALF_OPEN: Final = 1
OPENED: Final = 2

_BUDGET_CAP = 10.0
_LEAST_CALLS = 5


class CircuitBreaker:
    """Opens when too many of the last calls failed, tries again after a while, closes on successes."""

    __slots__ = ("_failed", "_min", "_open_for", "_ratio", "_recent", "_trials", "_until", "_won", "state")

    def __init__(self, spec: Breaker) -> None:
        """Begin closed."""
        self._recent: deque[bool] = deque(maxlen=spec.window)
        self._min = min(spec.window, max(_LEAST_CALLS, spec.window // 2))
        self._ratio = spec.failures
        self._open_for = spec.open_for.total_seconds()
        self._trials = spec.trials
        self._failed = 0
        self._won = 0
        self._until = 0.0
        self.state = CLOSED

    def allows(self, now: float) -> bool:
        """Whether a call may be made."""
        if self.state == OPENED and now >= self._until:
            self.state, self._won = HALF_OPEN, 0
        return self.state != OPENED

    def note(self, now: float, *, failed: bool) -> None:
        """Take a call's end into account."""
        if self.state == HALF_OPEN:
            if failed:
                self._open(now)
            else:
                self._won += 1
                if self._won >= self._trials:
                    self.state = CLOSED
            return
        recent = self._recent
        if len(recent) == recent.maxlen:
            self._failed -= recent[0]
        recent.append(failed)
        self._failed += failed
        if failed and len(recent) >= self._min and self._failed >= self._ratio * len(recent):
            self._open(now)

    def _open(self, now: float) -> None:
        self.state = OPENED
        self._until = now + self._open_for
        self._recent.clear()
        self._failed = 0


class RetryBudget:
    """Allows retries as a share of the calls, so that they cannot multiply an outage."""

    __slots__ = ("_share", "_tokens")

    def __init__(self, share: float) -> None:
        """Begin with a full budget."""
        self._share = share
        self._tokens = _BUDGET_CAP if share else 0.0

    def earn(self) -> None:
        """A call was made."""
        self._tokens = min(_BUDGET_CAP, self._tokens + self._share)

    def spend(self) -> bool:
        """Take one retry from the budget, if there is one."""
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
