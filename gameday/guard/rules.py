"""Why: what the guard ends, and why, can be read in one place and tested without a cluster.

Pure: it sees objects, Leases and the time, and says what must not go on. Whether that is really so
is asked once more before anything is ended, by ``acting``: what is seen here may be a moment old.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from gameday.clients.types import Lease
from gameday.guard.objects import Watched
from gameday.safety.lease import DURATION, is_run_lease
from gameday.spec.base import format_duration
from gameday.spec.kinds import RUN

# Who stops a run takes its Lease and its objects at the same moment; that needs no guard.
_SETTLE: Final = timedelta(seconds=3)


class Rule(StrEnum):
    """Why something is ended; the label ``rule`` of the metrics."""

    GUARDRAILS = "guardrails"
    HALTED = "halted"
    DEADLINE = "deadline"
    LEASE = "lease"
    HANGING = "hanging"
    THRESHOLD = "threshold"
    BLIND = "blind"


@dataclass(frozen=True, slots=True)
class Offence:
    """An object that must not go on."""

    rule: Rule
    object: Watched
    why: str

    def __str__(self) -> str:
        return f"{self.object.ref}: {self.why}"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long things may take.

    ``margin``: a fault to end by itself after its time. ``grace``: the Lease of a run to appear
    beside its first object. ``hanging``: a deletion.
    """

    margin: timedelta = timedelta(seconds=30)
    grace: timedelta = DURATION
    hanging: timedelta = timedelta(seconds=90)


@dataclass
class Pulse:
    """Which runs live, by their Leases.

    A Lease has lapsed by the times that stand in it, or because nobody was seen to renew it: the
    clock of a run may be ahead of ours, or be set back.
    """

    _leases: dict[str, Lease] = field(default_factory=dict)
    _renewals: dict[str, tuple[datetime | None, datetime]] = field(default_factory=dict)
    _missing: dict[str, datetime] = field(default_factory=dict)

    def take(self, now: datetime, leases: Iterable[Lease]) -> None:
        """Take in all Leases as they are known at ``now``, a time read after they were."""
        self._leases = {run_of(lease): lease for lease in leases if is_run_lease(lease.name)}
        for run, lease in self._leases.items():
            before = self._renewals.get(run)
            if before is None or before[0] != lease.renewed:
                self._renewals[run] = (lease.renewed, now)
        for run in self._renewals.keys() - self._leases.keys():
            del self._renewals[run]
        for run in self._missing.keys() & self._leases.keys():
            del self._missing[run]

    def renewed(self, run: str) -> datetime | None:
        """When the run renewed its Lease, as far as is known."""
        lease = self._leases.get(run)
        return lease.renewed if lease is not None else None

    @property
    def runs(self) -> int:
        """How many runs have a Lease."""
        return len(self._leases)

    def lapsed(self, now: datetime) -> frozenset[str]:
        """Those of them that no longer renew it."""
        return frozenset(run for run in self._leases if self.why_dead(run, now))

    def why_dead(self, run: str, now: datetime) -> str:
        """Why the run's Lease says that it does not live; "" where it does, or has none."""
        lease = self._leases.get(run)
        if lease is None:
            return ""
        last = lease.renewed.isoformat(timespec="seconds") if lease.renewed else "never"
        if lease.lapsed(now):
            return f"the Lease of run {run} has lapsed; it was last renewed {last}"
        _, seen = self._renewals[run]
        if now - seen > lease.duration:
            return f"nobody has renewed the Lease of run {run} for {format_duration(lease.duration)}"
        return ""

    def lives(self, run: str, now: datetime) -> bool:
        """Whether the run has a Lease that is good."""
        return run in self._leases and not self.why_dead(run, now)

    def missing_for(self, run: str, now: datetime) -> timedelta | None:
        """For how long the run's Lease is known to be missing; None where there is one."""
        if run in self._leases:
            return None
        return now - self._missing.setdefault(run, now)


def run_of(lease: Lease) -> str:
    """The run that a Lease is of, even where nobody holds it."""
    return lease.labels.get(RUN) or lease.holder


@dataclass(frozen=True, slots=True)
class Judge:
    """Holds objects against the rules. ``halted`` is since when the lever is engaged."""

    pulse: Pulse
    patience: Patience = Patience()

    def offence(self, one: Watched, now: datetime, *, halted: datetime | None = None) -> Offence | None:
        """Why ``one`` must not go on at ``now``; None where it may."""
        if one.deleting is not None:
            if now - one.deleting <= self.patience.hanging:
                return None
            since = one.deleting.isoformat(timespec="seconds")
            return Offence(Rule.HANGING, one, f"it was told to end at {since} and is still there")
        why_run = self._why_run(one, now)
        if why_run:
            return Offence(Rule.LEASE, one, why_run)
        return self._own_offence(one, now, halted) if one.live else None

    def _own_offence(self, one: Watched, now: datetime, halted: datetime | None) -> Offence | None:
        lives = bool(one.run) and self.pulse.lives(one.run, now)
        # Whether somebody approved is the run's to know: it was checked before it began.
        broken = [violation for violation in one.violations if violation.refuses or not lives]
        if broken:
            return Offence(Rule.GUARDRAILS, one, "; ".join(map(str, broken)))
        # The server's stamps are whole seconds.
        if halted and one.created and one.created >= halted.replace(microsecond=0):
            since = halted.isoformat(timespec="seconds")
            return Offence(Rule.HALTED, one, f"it was begun while everything is halted, since {since}")
        if one.ends is not None and self.overdue(one, now):
            ends = one.ends.isoformat(timespec="seconds")
            return Offence(Rule.DEADLINE, one, f"it should have been over at {ends}")
        return None

    def overdue(self, one: Watched, now: datetime) -> bool:
        """Whether its time was up a while ago."""
        return one.ends is not None and now > one.ends + self.patience.margin

    def _why_run(self, one: Watched, now: datetime) -> str:
        if not one.run:
            return ""
        missing = self.pulse.missing_for(one.run, now)
        if missing is None:
            return self.pulse.why_dead(one.run, now)
        young = one.created is not None and now - one.created <= self.patience.grace
        if young or missing < _SETTLE:
            return ""
        return f"run {one.run} has no Lease"
