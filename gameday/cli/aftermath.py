"""Why: ``stop`` and ``halt`` end alike: people told, services restarted, the trail kept, a review opened.

The order of what ``protocol`` can do. People hear at once, while services are being restarted.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from gameday.cli import protocol
from gameday.cli.output import note
from gameday.cli.protocol import Act, Emergency
from gameday.clients.faults import PodName
from gameday.clients.kubernetes import Cluster
from gameday.clients.slack import Message
from gameday.errors import GamedayError
from gameday.journal.audit import Action
from gameday.journal.store import Journal
from gameday.safety.restart import restart_hit


async def follow(
    emergency: Emergency,
    cluster: Cluster,
    hit: Collection[PodName] | None,
    *,
    acts: Sequence[Act],
    message: Message | None,
    incident: bool,
) -> None:
    """Do everything that comes after a stop; ``hit`` are the pods whose services restart, None for none."""
    if hit is not None:
        note(f"Restarting what runs {len(hit)} pods that were hit.")
    parts = {
        "audit_trail": protocol.account(emergency, *acts),
        "prefect": protocol.show_in_prefect(emergency),
        "restart": _restart(emergency, cluster, hit),
    }
    if message is not None:
        parts["slack"] = protocol.tell_channels(emergency, message)
    if incident:
        parts["incidents"] = protocol.notify_incidents(emergency)
    await protocol.each(emergency, **parts)
    if emergency.restarted:
        rows = [one.as_dict() for one in emergency.restarted]
        await protocol.account(emergency, Act(Action.RESTART, {"workloads": rows}))
    if not incident:
        return
    path = await protocol.open_review(emergency)
    lines = [str(one) for one in emergency.restarted]
    await protocol.follow_up(emergency, "\n".join([*lines, f"Review: {path.name}" if path else ""]).strip())


async def _restart(emergency: Emergency, cluster: Cluster, hit: Collection[PodName] | None) -> None:
    if hit is None:
        return
    pods = {*hit, *await _written_down(emergency)}
    emergency.restarted = await restart_hit(cluster, pods, clock=emergency.clock)
    for one in emergency.restarted:
        note(str(one), style="" if one.ok else "yellow")
    if not pods:
        emergency.fail("Nothing was restarted: no pod is known to have been hit.")


async def _written_down(emergency: Emergency) -> set[PodName]:
    """The pods that the journal says were hit by what was stopped."""
    runs = {one.run for one in emergency.report.outcomes if one.run} if emergency.report else set()
    try:
        async with Journal.open(emergency.settings.database_url) as journal:
            faults = [
                fault for run in sorted(runs | set(emergency.runs)) for fault in await journal.faults(run)
            ]
    except GamedayError as error:
        emergency.fail(f"The journal does not tell what was hit: {error.message}")
        return set()
    return {PodName(*pod.split("/", 1)) for fault in faults for pod in fault.pods if "/" in pod}
