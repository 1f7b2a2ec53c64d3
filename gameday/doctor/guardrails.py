"""Why: limits that are in the file but not in the cluster hold nobody who works by hand."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from gameday.clients.kubernetes import Cluster
from gameday.doctor.lines import Line, State, judged
from gameday.errors import GamedayError
from gameday.guard.leader import LEASE
from gameday.safety import lever
from gameday.safety.policy import render
from gameday.safety.policy_install import drift
from gameday.spec.catalogue import Catalogue

GUARDRAILS: Final = "guardrails"


async def guardrails(catalogue: Catalogue, cluster: Cluster, now: datetime) -> list[Line]:
    """Whether the admission policies are installed and say what the file says; the lever; the guard."""
    platform = catalogue.platform
    rendered = render(catalogue.guardrails, platform)
    try:
        different = await drift(cluster, rendered)
        found = "; ".join(different) or "installed, equal to guardrails.yaml"
        installed = judged(
            GUARDRAILS,
            "admission policies",
            not different,
            found,
            "`gameday guardrails render | kubectl apply --server-side -f -`",
            # A run checks its own plan; only what others make by hand is not held.
            otherwise=State.WARN,
        )
    except GamedayError as error:
        installed = Line(GUARDRAILS, "admission policies", State.SKIPPED, error.message, error.hint)
    return [
        installed,
        await _lever(cluster, platform.chaos_namespace),
        await _guard(cluster, platform.chaos_namespace, now),
    ]


async def _lever(cluster: Cluster, namespace: str) -> Line:
    try:
        state = await lever.read(cluster, namespace)
    except GamedayError as error:
        return Line(GUARDRAILS, "safety lever", State.FAIL, error.message, error.hint)
    return judged(
        GUARDRAILS,
        "safety lever",
        not state.engaged,
        str(state),
        "Nothing starts until somebody releases it: gameday resume",
    )


async def _guard(cluster: Cluster, namespace: str, now: datetime) -> Line:
    leases = [lease for lease in await cluster.leases(namespace) if lease.name == LEASE]
    alive = [lease for lease in leases if not lease.lapsed(now)]
    return judged(
        GUARDRAILS,
        "guard",
        bool(alive),
        f"{alive[0].holder} leads" if alive else "no guard is at work",
        "Without one, a run that dies with its watchdog leaves its faults to their duration: "
        "`kubectl apply -k deployments/base`",
        otherwise=State.WARN,
    )
