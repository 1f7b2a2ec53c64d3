"""Why: how fast a service comes back is learned of every stage that hit it, not only of the last one.

Looks on from a stage's injection to the next one, and says for each service what hit it, when its
pods were replaced and when it was well again. Whether the run as a whole recovered is ``recovery``'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from gameday.journal.store import FaultRecord
from gameday.monitor.judge import Reading, unmet
from gameday.monitor.watch import Watch
from gameday.plan.model import PlannedFault, PlannedStage
from gameday.run.context import Run
from gameday.run.replacement import services_hit, tell_replacements
from gameday.spec.base import Model, format_duration

_KILL = "the kill"
_END = "the end of the fault"


class Comeback(Model):
    """How one service came back after one stage. Times are in seconds.

    ``took_s`` counts from ``since``: from the kill where nothing else hit it, else from the end of the
    fault. It includes ``replaced_s``, the time until the killed pods were replaced, always counted from
    the kill.
    """

    stage: str
    service: str
    hit_by: tuple[str, ...]
    killed: bool
    replaced_s: float | None
    outcome: Literal["stayed", "back", "not-back", "unseen"]
    since: str
    took_s: float | None

    @property
    def replacement(self) -> str:
        """When the killed pods were replaced, in words."""
        if not self.killed:
            return "-"
        return "not seen" if self.replaced_s is None else f"{_seconds(self.replaced_s)} after the kill"

    @property
    def words(self) -> str:
        """When it was well again."""
        if self.outcome == "unseen":
            return "could not be seen"
        if self.took_s is None:
            return "not well again"
        after = f"{_seconds(self.took_s)} after {self.since}"
        if self.outcome == "stayed":
            return f"{after}; its signals stayed well" if self.took_s > 0 else "stayed well"
        return after if self.took_s > 0 else f"before {self.since}"


def _seconds(value: float) -> str:
    return format_duration(timedelta(seconds=round(value)))


@dataclass
class StageLooks:
    """What was seen of each service since a stage was injected."""

    stage: PlannedStage
    replaced: dict[str, timedelta | None] = field(default_factory=dict)  # since the kill; None: not yet
    told: bool = False
    _well_since: dict[str, datetime | None] = field(default_factory=dict)
    _ill: set[str] = field(default_factory=set)  # something spoke against it, at any time
    _dim: set[str] = field(default_factory=set)  # something could not be seen, at any time
    _unseen: set[str] = field(default_factory=set)  # nothing but that speaks against it now

    def take(self, at: datetime, watches: Sequence[Watch], readings: Sequence[Reading]) -> None:
        """Learn from one look."""
        for service in {reading.service for reading in readings if not reading.mean_of}:
            own = [reading for reading in readings if reading.service == service and not reading.mean_of]
            ill = bool(unmet(watches, [reading for reading in own if reading.value is not None]))
            dim = any(reading.value is None for reading in own)
            self._ill |= {service} if ill else set()
            self._dim |= {service} if dim else set()
            self._unseen = self._unseen | {service} if dim and not ill else self._unseen - {service}
            self._well_since[service] = None if ill or dim else self._well_since.get(service) or at

    @property
    def unreplaced(self) -> bool:
        """Whether pods were killed of which nobody has seen a replacement yet."""
        kills = any(fault.one_shot for fault in self.stage.faults)
        return kills and (not self.replaced or None in self.replaced.values())

    def comebacks(self, records: Mapping[str, FaultRecord]) -> Iterator[Comeback]:
        """How each service that was hit or became ill came back; ``records`` are the faults', by name."""
        pairs = [(fault, records[fault.name]) for fault in self.stage.faults if fault.name in records]
        hits = {
            fault.name: services_hit(fault, record)
            for fault, record in pairs
            if record.injected_at is not None
        }
        for service in sorted(self._ill.union(*hits.values())):
            own = [(fault, record) for fault, record in pairs if service in hits.get(fault.name, ())]
            yield self._comeback(service, own, own or pairs)

    def _comeback(
        self,
        service: str,
        own: Sequence[tuple[PlannedFault, FaultRecord]],
        counted: Sequence[tuple[PlannedFault, FaultRecord]],
    ) -> Comeback:
        kills = [record.requested_at for fault, record in own if fault.one_shot]
        ends = [record.ended_at for fault, record in counted if not fault.one_shot]
        known = [end for end in ends if end is not None]
        starts = [record.requested_at for fault, record in counted if fault.one_shot]
        # A fault that is not proved to have ended leaves nothing to count from.
        origin = None if len(known) < len(ends) else max(known or starts, default=None)
        replaced = self.replaced.get(service) if kills else None
        outcome, took = self._outcome(service, origin, max(kills, default=None), replaced)
        return Comeback.model_validate(
            {
                "stage": self.stage.name,
                "service": service,
                "hitBy": [f"{fault.kind} {fault.what}" for fault, _ in own],
                "killed": bool(kills),
                "replacedS": replaced.total_seconds() if replaced is not None else None,
                "outcome": outcome,
                "since": _END if ends else _KILL,
                "tookS": took.total_seconds() if took is not None else None,
            }
        )

    def _outcome(
        self, service: str, origin: datetime | None, killed: datetime | None, replaced: timedelta | None
    ) -> tuple[Literal["stayed", "back", "not-back", "unseen"], timedelta | None]:
        well_since = self._well_since.get(service)
        if service in self._unseen or service not in self._well_since:
            return "unseen", None
        if well_since is None or origin is None or (killed is not None and replaced is None):
            return "not-back", None
        stayed = service not in self._ill | self._dim
        moments = [origin] if stayed else [origin, well_since]
        if killed is not None and replaced is not None:
            moments.append(killed + replaced)
        return "stayed" if stayed else "back", max(moments) - origin


async def tell(run: Run, looks: StageLooks) -> None:
    """Write down how the services came back after a stage, once."""
    if looks.told:
        return
    looks.told = True
    if looks.unreplaced:
        looks.replaced = await tell_replacements(run, looks.stage)
    known = {fault.name: run.known_fault(fault.name) for fault in looks.stage.faults}
    rows = list(looks.comebacks({name: record for name, record in known.items() if record is not None}))
    words = "; ".join(f"{row.service or 'the platform'}: {row.words}" for row in rows)
    await run.tell(
        "recovered",
        f"After {looks.stage.name}: {words or 'nothing was hit'}",
        stage=looks.stage.name,
        services=[row.model_dump(mode="json", by_alias=True) for row in rows],
    )
