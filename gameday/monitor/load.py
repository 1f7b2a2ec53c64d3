"""Why: a load is only worth something if nobody flatters it: what was late, lost or never sent is counted.

Keeps the results of a load and says what they were lately. An open loop: a request that should have
been sent and was not counts as one that was not answered well.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from gameday.spec.load import LoadMeasure

LATELY: Final = timedelta(seconds=10)
_SHARES: Final[dict[LoadMeasure, float]] = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


@dataclass
class Totals:
    """Everything since the load began."""

    sent: int = 0
    good: int = 0
    bad: int = 0  # answered, but not as it should be
    unanswered: int = 0
    dropped: int = 0  # never sent: too many were waiting
    late: int = 0  # sent later than it should have been
    latencies: list[float] = field(default_factory=list)  # in seconds; infinite where nothing came

    @property
    def under_way(self) -> int:
        """Sent, and neither answered nor given up."""
        return self.sent - self.good - self.bad - self.unanswered

    def __str__(self) -> str:
        parts = [
            f"{self.sent} sent",
            f"{self.good} answered well",
            f"{self.bad} otherwise",
            f"{self.unanswered} not",
            *([f"{self.under_way} still under way"] if self.under_way else []),
            f"{self.dropped} dropped",
            f"{self.late} late",
        ]
        quantiles = [
            f"{name.upper()} {quantile(self.latencies, share):.3g} s" for name, share in _SHARES.items()
        ]
        return ", ".join(parts + (quantiles if self.latencies else []))


@dataclass(frozen=True, slots=True)
class _Settled:
    at: datetime
    good: bool
    took: float | None  # None: never sent


@dataclass
class LoadResults:
    """What became of each request; ``began`` is None before the first."""

    began: datetime | None = None
    ended: bool = False
    totals: Totals = field(default_factory=Totals)
    _lately: deque[_Settled] = field(default_factory=deque)
    _sent: deque[datetime] = field(default_factory=deque)

    def sent(self, at: datetime, *, late: bool) -> None:
        """One was sent."""
        self.totals.sent += 1
        self.totals.late += late
        self._sent.append(at)

    def answered(self, at: datetime, took: timedelta, *, good: bool) -> None:
        """One was answered ``at`` that moment."""
        seconds = took.total_seconds()
        self.totals.good += good
        self.totals.bad += not good
        self.totals.latencies.append(seconds)
        self._lately.append(_Settled(at, good, seconds))

    def unanswered(self, at: datetime) -> None:
        """One was given up."""
        self.totals.unanswered += 1
        self.totals.latencies.append(math.inf)
        self._lately.append(_Settled(at, good=False, took=math.inf))

    def dropped(self, at: datetime) -> None:
        """One could not be sent."""
        self.totals.dropped += 1
        self._lately.append(_Settled(at, good=False, took=None))

    def lately(self, measure: LoadMeasure, now: datetime) -> float | None:
        """What it was in the last ten seconds; None where nothing was settled then."""
        since = now - LATELY
        while self._lately and self._lately[0].at <= since:
            self._lately.popleft()
        while self._sent and self._sent[0] <= since:
            self._sent.popleft()
        if measure == "rate":
            lasted = min(LATELY, now - self.began) if self.began is not None else timedelta(0)
            return len(self._sent) / lasted.total_seconds() if lasted else None
        if measure == "dropped":
            return float(sum(one.took is None for one in self._lately))
        if not self._lately:
            return None
        if measure == "success":
            return sum(one.good for one in self._lately) / len(self._lately)
        took = [one.took for one in self._lately if one.took is not None]
        return quantile(took, _SHARES[measure]) if took else None


def quantile(values: Iterable[float], share: float) -> float:
    """The least of ``values`` that this share of them does not exceed: no mean, some may be infinite."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]
