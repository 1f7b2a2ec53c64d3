"""Why: where no guard runs, what no living run holds must still end, if only now and then.

A sweep is a guard for a moment: it stands for election, looks at everything until it has seen enough,
ends what must not go on, by the guard's own rules and stop, and resigns. Beside a guard that leads it
does nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from gameday.clients.kubernetes import Cluster
from gameday.clients.prometheus import Prometheus
from gameday.clients.slack import Messenger
from gameday.clock import Clock, Deadline, SteadyClock
from gameday.guard.guard import Guard, Pace
from gameday.guard.telling import Record
from gameday.spec.catalogue import Catalogue
from gameday.spec.platform import Environment

# A Lease counts as missing once it has been for a few seconds; until then its run may be about to begin.
LOOK: Final = timedelta(seconds=5)
# Longer than the Lease of a guard that died is good.
PATIENCE: Final = timedelta(seconds=20)
_POLL_S: Final = 0.05


@dataclass
class Swept:
    """What a sweep did. ``leader`` is the guard that looks after things already, if there is one."""

    leader: str = ""
    told: list[str] = field(default_factory=list)
    unproved: int = 0
    blind: tuple[str, ...] = ()

    @property
    def well(self) -> bool:
        """Whether everything was seen, and what was ended is proved to be over."""
        return not self.unproved and not self.blind


async def sweep(
    cluster: Cluster,
    prometheus: Prometheus,
    messenger: Messenger,
    catalogue: Catalogue,
    environment: Environment,
    *,
    clock: Clock,
    record: Record | None = None,
    pace: Pace | None = None,
    look: timedelta = LOOK,
    patience: timedelta = PATIENCE,
) -> Swept:
    """Look once at everything, for ``look`` once it is seen, and end what must not go on.

    ``clock`` is the cluster's. ``patience`` is how long it waits to lead and to see everything.
    """
    swept = Swept()

    async def heard(title: str, lines: Sequence[str]) -> str:
        swept.told += [title, *lines]
        return await record(title, lines) if record is not None else ""

    steady = SteadyClock()
    guard = Guard(
        cluster,
        prometheus,
        messenger,
        catalogue,
        environment,
        clock=clock,
        record=heard,
        pace=pace,
        steady=steady,
    )
    stopping = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(guard.run(stopping))
        deadline = Deadline(steady, patience)
        while not (guard.acts and guard.view.synced) and not deadline.passed:
            await deadline.rest(_POLL_S)
        if guard.acts:
            await steady.sleep(look)
            swept.blind = tuple(f"{name}: {why}" for name, (_, why) in sorted(guard.view.blind().items()))
        else:
            swept.leader = guard.election.leader or "nobody"
        stopping.set()
    swept.unproved = guard.metrics.unproved
    return swept
