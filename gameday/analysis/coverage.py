"""Why: the fault that hurts is the one that was never tried, so somebody must know which those are.

Tells which service has met which fault, when last and how that ended, what an experiment of the catalogue
would bring, and what was never tried. Which of that comes next is for ``suggest``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, NamedTuple

from pydantic import Field

from gameday.analysis.periods import Period
from gameday.journal.history import RunRow
from gameday.journal.store import Verdict
from gameday.spec.base import Model
from gameday.spec.experiment import Experiment
from gameday.spec.faults import Fault, OutsideFault
from gameday.spec.platform import Platform, Service


class Kind(NamedTuple):
    """A sort of fault: ``action`` is "" for kinds that have none."""

    kind: str
    action: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.action}".rstrip()


# What can happen to any pod. Others count where an experiment brings them or somebody tried them.
USUAL: Final = (
    Kind("PodChaos", "pod-kill"),
    Kind("PodChaos", "pod-failure"),
    Kind("NetworkChaos", "delay"),
    Kind("NetworkChaos", "loss"),
    Kind("NetworkChaos", "partition"),
    Kind("StressChaos"),
)
_OF_DISKS: Final = (Kind("IOChaos", "latency"), Kind("IOChaos", "fault"))
_OF_HTTP: Final = (Kind("HTTPChaos"),)
_OF_CALLERS: Final = (Kind("DNSChaos", "error"),)


class Met(Model):
    """A service and a sort of fault, with what became of it: ``runs`` 0 is what was never tried."""

    service: str
    kind: str
    action: str = ""
    runs: Annotated[int, Field(ge=0)] = 0
    held: Annotated[int, Field(ge=0, description="of those, the runs whose hypothesis held")] = 0
    last: datetime | None = None
    last_run: str = ""
    last_verdict: Verdict | None = None
    experiments: Annotated[
        tuple[str, ...], Field(description="of the catalogue, those that would bring it")
    ] = ()

    @property
    def fault(self) -> Kind:
        """The sort of fault."""
        return Kind(self.kind, self.action)


class Coverage(Model):
    """Every service with every fault that it met or could."""

    services: tuple[str, ...]
    cells: tuple[Met, ...]

    @property
    def met(self) -> tuple[Met, ...]:
        """What was tried."""
        return tuple(one for one in self.cells if one.runs)

    @property
    def never(self) -> tuple[Met, ...]:
        """What was never tried."""
        return tuple(one for one in self.cells if not one.runs)

    @property
    def faults(self) -> tuple[Kind, ...]:
        """All sorts of faults, those that every service can meet first."""
        others = sorted({one.fault for one in self.cells} - set(USUAL))
        return (*(one for one in USUAL if any(cell.fault == one for cell in self.cells)), *others)

    def cell(self, service: str, fault: Kind) -> Met | None:
        """What is known of ``fault`` at ``service``; None where it cannot meet it."""
        return next((one for one in self.cells if (one.service, one.fault) == (service, fault)), None)


@dataclass(frozen=True)
class Growth:
    """How much of what could be tried was tried by any moment: ``first`` says when each cell was met first.

    ``possible`` are the cells that count whether they were met or not, ``since`` is the begin of the first
    run, ``now`` the last moment of which anything is known.
    """

    possible: frozenset[tuple[str, Kind]]
    first: Mapping[tuple[str, Kind], datetime]
    since: datetime | None
    now: datetime

    def by(self, period: Period) -> tuple[int, int] | None:
        """How many cells were met by the end of ``period``, and of how many; None where it is not known.

        It is not before the first run, and not in a time to come.
        """
        if self.since is None or self.since >= period.end or period.begin > self.now:
            return None
        met = {cell for cell, at in self.first.items() if at < period.end}
        return len(met), len(met | self.possible)


def growth(
    rows: Iterable[RunRow], platform: Platform, experiments: Sequence[Experiment], now: datetime
) -> Growth:
    """How the coverage grew over ``rows``, counted as ``coverage`` does with the same arguments."""
    ended = [row for row in rows if row.verdict is not None]
    first: dict[tuple[str, Kind], datetime] = {}
    for row in ended:
        for hit in row.hits:
            cell = (hit.service, Kind(hit.kind, hit.action))
            if hit.service:
                first[cell] = min(first.get(cell, row.started_at), row.started_at)
    possible = frozenset(cell for cell, _ in _possible(platform, experiments))
    return Growth(possible, first, min((row.started_at for row in ended), default=None), now)


def _possible(
    platform: Platform, experiments: Sequence[Experiment]
) -> Iterator[tuple[tuple[str, Kind], str]]:
    """What could be met, and by which experiment; "" where a service could meet it by what it is."""
    for service in platform.services:
        for fault in applicable(service):
            yield (service.name, fault), ""
    for experiment in experiments:
        for cell in brings(experiment, platform):
            yield cell, experiment.name


def coverage(rows: Iterable[RunRow], platform: Platform, experiments: Sequence[Experiment] = ()) -> Coverage:
    """What of ``platform`` met what in ``rows``; runs that still go on are left out."""
    found: dict[tuple[str, Kind], dict[str, Any]] = {}
    names = [service.name for service in platform.services]
    for key, experiment in _possible(platform, experiments):
        cell = found.setdefault(key, {})
        if experiment:
            cell["experiments"] = (*cell.get("experiments", ()), experiment)
    for row in sorted(rows, key=lambda one: one.started_at):
        if row.verdict is None:
            continue
        for hit in row.hits:
            cell = found.setdefault((hit.service, Kind(hit.kind, hit.action)), {})
            cell["runs"] = cell.get("runs", 0) + 1
            cell["held"] = cell.get("held", 0) + (row.verdict is Verdict.HELD)
            cell |= {"last": row.started_at, "lastRun": row.run, "lastVerdict": row.verdict}
    gone = sorted({service for service, _ in found if service and service not in names})
    order = {name: place for place, name in enumerate([*names, *gone])}
    return Coverage(
        services=tuple(order),
        cells=tuple(
            Met.model_validate({"service": service, **fault._asdict(), **cell})
            for (service, fault), cell in sorted(
                found.items(), key=lambda one: (order.get(one[0][0], -1), one[0][1])
            )
            if service
        ),
    )


def applicable(service: Service) -> tuple[Kind, ...]:
    """The sorts of faults that ``service`` could meet, by what platform.yaml says of it."""
    return (
        *USUAL,
        *(_OF_DISKS if service.stateful else ()),
        *(_OF_HTTP if service.health is not None else ()),
        *(_OF_CALLERS if service.calls else ()),
    )


def brings(experiment: Experiment, platform: Platform) -> tuple[tuple[str, Kind], ...]:
    """Which service would meet which fault in ``experiment``, each once, in the order of its stages."""
    found = {
        (service, Kind(fault.kind, str(getattr(fault.spec, "action", None) or "")))
        for stage in experiment.stages
        for fault in stage.faults
        for service in _targets(fault, platform)
    }
    return tuple(sorted(found))


def _targets(fault: Fault, platform: Platform) -> Iterator[str]:
    if isinstance(fault, OutsideFault):
        return
    target = fault.target
    if isinstance(target, str):
        yield target
        return
    # What narrows it down further is known to the cluster alone; which labels it must have is known here.
    wanted = target.label_selectors.items()
    if wanted:
        yield from (one.name for one in platform.services if wanted <= one.labels.items())
