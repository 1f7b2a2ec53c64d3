"""Why: most of what keeps a run from starting is the cluster: its version, its rights, its clock.

What the health check looks at too is left to ``gameday.health``.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from gameday.clients.chaos_mesh import ChaosMesh
from gameday.clients.kubernetes import Cluster
from gameday.clients.types import Lease
from gameday.clock import Clock
from gameday.doctor.lines import Line, State, judged
from gameday.doctor.needs import ANYWHERE, CHAOS, ROLES, Need
from gameday.errors import NotAllowedError, NotFoundError, RejectedError
from gameday.safety.lease import DURATION, RENEW_EVERY
from gameday.spec.base import format_duration
from gameday.spec.kinds import ALL_KINDS, API_VERSION
from gameday.spec.platform import Environment, Platform

KUBERNETES: Final = "Kubernetes"
CHAOS_MESH: Final = "Chaos Mesh"
PERMISSIONS: Final = "permissions"

# ValidatingAdmissionPolicy is stable from here on; Chaos Mesh itself is content with less.
_LEAST_VERSION: Final = (1, 30)
# What is left of a Lease between two renewals: more, and a live run would look dead to others.
MOST_SKEW: Final = DURATION - 2 * RENEW_EVERY
_WEBHOOK_ADVICE: Final = (
    "Is the ValidatingWebhookConfiguration chaos-mesh-validation there, and its Service reachable?"
)
_ROLE_LABEL: Final = "app.kubernetes.io/component"
_VERSION_LABEL: Final = "app.kubernetes.io/version"
# How faults go in and out, and what proves it, was measured on a real one of this version.
_SUPPORTED: Final = "2.8"


@dataclass(frozen=True)
class ClusterDoctor:
    """Looks at one environment's cluster through clients that are already open."""

    platform: Platform
    environment: Environment
    cluster: Cluster
    chaos: ChaosMesh
    clock: Clock

    async def kubernetes(self) -> list[Line]:
        """Version, the chaos namespace, the clock."""
        version = await self.cluster.version()
        numbers = re.match(r"v?(\d+)\.(\d+)", version)
        recent = numbers is not None and (int(numbers[1]), int(numbers[2])) >= _LEAST_VERSION
        return [
            judged(
                KUBERNETES,
                "version",
                recent,
                version,
                "Guardrails by the API server itself need Kubernetes 1.30 or newer.",
                otherwise=State.WARN,
            ),
            await self._namespace(self.platform.chaos_namespace),
            await self._clock_skew(),
        ]

    async def _namespace(self, name: str) -> Line:
        try:
            phase = (await self.cluster.namespace(name)).phase
        except NotFoundError:
            return Line(
                KUBERNETES,
                f"namespace {name}",
                State.FAIL,
                "does not exist",
                "Chaos objects and Leases live there: create it, or set chaosNamespace in platform.yaml.",
            )
        return judged(KUBERNETES, f"namespace {name}", phase == "Active", phase, "Is it being deleted?")

    async def _clock_skew(self) -> Line:
        """Ask for a Lease that is never made: the server stamps it with its own time."""
        name = f"gameday-doctor-{secrets.token_hex(3)}"
        before = self.clock.now()
        lease = Lease(name, self.platform.chaos_namespace, "doctor", DURATION, before, before)
        created = await self.cluster.server_time(lease)
        after = self.clock.now()
        # The stamp is cut to a whole second.
        early, late = before - created - timedelta(seconds=1), created - after
        skew = max(early, late, timedelta(0))
        return judged(
            KUBERNETES,
            "clock",
            skew <= MOST_SKEW,
            f"{format_duration(timedelta(seconds=round(skew.total_seconds())))} apart"
            if skew
            else "agrees with this machine's",
            f"Leases are judged by time: more than {format_duration(MOST_SKEW)} and a live run looks dead. "
            "Synchronise the clocks (NTP).",
        )

    async def chaos_mesh(self) -> list[Line]:
        """Its version, all kinds served, the webhook at work, a daemon beside every pod of the platform."""
        served = await self.cluster.kinds_served(API_VERSION)
        missing = [kind for kind in ALL_KINDS if kind not in served]
        lines = [
            judged(
                CHAOS_MESH,
                "kinds",
                not missing,
                f"missing: {', '.join(missing)}" if missing else f"all {len(ALL_KINDS)} served",
                "Only experiments that use them are kept from running. Chaos Mesh 2.8 has all.",
                otherwise=State.WARN if served else State.FAIL,
            )
        ]
        version, webhook, daemons = await asyncio.gather(self._version(), self._webhook(), self._daemons())
        return [version, *lines, webhook, daemons]

    async def _version(self) -> Line:
        """As the chart labels the controller; without the label, as its image is tagged."""
        controllers = await self.cluster.deployments(
            self.platform.chaos_namespace, {_ROLE_LABEL: "controller-manager"}
        )
        labels = [one.labels[_VERSION_LABEL] for one in controllers if _VERSION_LABEL in one.labels]
        tags = [_tag(image) for one in controllers for image in one.images]
        version = next((one.removeprefix("v") for one in (*labels, *tags) if re.match(r"v?\d", one)), "")
        return judged(
            CHAOS_MESH,
            "version",
            version.split("-")[0].split(".")[:2] == _SUPPORTED.split("."),
            version or "not told: no controller has a label or an image tag that says it",
            f"{_SUPPORTED} is supported: how faults go in and out was measured there. With another one, look "
            "at the first runs' proofs (`gameday show RUN`), or install that: docs/how-to/install.md.",
            otherwise=State.WARN,
        )

    async def _webhook(self) -> Line:
        """Dry-run an object that Chaos Mesh must refuse; where it is taken, nobody checks."""
        impossible = {
            "apiVersion": API_VERSION,
            "kind": "PodChaos",
            "metadata": {
                "name": f"gameday-doctor-{secrets.token_hex(3)}",
                "namespace": self.platform.chaos_namespace,
            },
            "spec": {
                "action": "pod-failure",
                "mode": "fixed",
                "value": "0",
                "duration": "10s",
                "selector": {
                    "namespaces": [self.environment.namespace],
                    "labelSelectors": {"gameday/doctor": "nobody"},
                },
            },
        }
        try:
            await self.chaos.dry_run(impossible)
        except RejectedError as error:
            # The API server's words where a webhook was asked and said no; it may also not have answered.
            answered = "denied the request" in error.message
            found = "refuses what it must" if answered else error.message
            return judged(CHAOS_MESH, "webhook", answered, found, _WEBHOOK_ADVICE)
        except NotAllowedError as error:
            return Line(CHAOS_MESH, "webhook", State.SKIPPED, error.message, error.hint)
        return Line(
            CHAOS_MESH,
            "webhook",
            State.FAIL,
            "took an object with mode fixed and value 0",
            _WEBHOOK_ADVICE,
        )

    async def _daemons(self) -> Line:
        pods = await self.cluster.pods(self.environment.namespace)
        daemons = await self.cluster.pods(self.platform.chaos_namespace, {_ROLE_LABEL: "chaos-daemon"})
        covered = {pod.node for pod in daemons if pod.ready}
        bare = sorted({pod.node for pod in pods if pod.node and pod.node not in covered})
        nodes = len({pod.node for pod in pods if pod.node})
        return judged(
            CHAOS_MESH,
            "daemon on every node",
            not bare,
            f"none ready on {', '.join(bare)}" if bare else f"ready on all {nodes} nodes with pods",
            "A fault on such a node cannot be injected, or hangs when it ends: "
            f"`kubectl -n {self.platform.chaos_namespace} get pods -o wide -l {_ROLE_LABEL}=chaos-daemon`",
        )

    async def permissions(self) -> list[Line]:
        """What this identity may do of all that runs, the guard and the stop need."""
        return list(await asyncio.gather(*(self._role(name, needs) for name, needs in ROLES.items())))

    async def _role(self, name: str, needs: Sequence[Need]) -> Line:
        answers = await asyncio.gather(*(self._may(need) for need in needs))
        denied = [str(need) for need, allowed in zip(needs, answers, strict=True) if not allowed]
        shown = ", ".join(denied[:6]) + (f" and {len(denied) - 6} more" if len(denied) > 6 else "")
        # An identity that only looks, or only stops, is well without the rights of a run.
        return judged(
            PERMISSIONS,
            f"enough for {name}",
            not denied,
            f"may not {shown}" if denied else f"all {len(needs)} rights granted",
            f"Bind the role for {name} of deployments/base/rbac.yaml, if this identity is meant to.",
            otherwise=State.WARN,
        )

    async def _may(self, need: Need) -> bool:
        where = {CHAOS: self.platform.chaos_namespace, ANYWHERE: ""}
        access = await self.cluster.may(
            need.verb,
            need.resource,
            group=need.group,
            namespace=where.get(need.where, self.environment.namespace),
            subresource=need.subresource,
            name=need.name,
        )
        return access.allowed


def _tag(image: str) -> str:
    """The tag of an image, "" where it has none; a registry may have a port, a tag a digest behind it."""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[2]
