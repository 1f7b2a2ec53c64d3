"""Why: what each identity must be allowed to do stands in one list, which people can read.

The roles of ``deployments/base/rbac.yaml`` grant exactly this; the doctor asks the API server for each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gameday.safety import lever
from gameday.spec.kinds import ALL_KINDS, FAULT_KINDS, GROUP, plural

CHAOS: Final = "chaos"
"""In the chaos namespace."""
TARGET: Final = "target"
"""In the environment's namespace."""
ANYWHERE: Final = "anywhere"
"""In all namespaces."""


@dataclass(frozen=True, slots=True)
class Need:
    """A right that something cannot do without; with ``name`` for the one object that is called so."""

    verb: str
    resource: str
    group: str
    where: str
    subresource: str = ""
    name: str = ""

    def __str__(self) -> str:
        below = f"/{self.subresource}" if self.subresource else ""
        return f"{self.verb} {self.resource}{below} {self.name}".rstrip()


def _needs(verbs: str, resources: str, group: str, where: str, name: str = "") -> tuple[Need, ...]:
    return tuple(
        Need(verb, resource, group, where, name=name)
        for resource in resources.split()
        for verb in verbs.split()
    )


_LEASES: Final = "coordination.k8s.io"
_ALL: Final = " ".join(plural(kind) for kind in ALL_KINDS)
_FAULTS: Final = " ".join(plural(kind) for kind in FAULT_KINDS)

# Whoever makes the ConfigMap anew has no name that a role could name.
_LEVER: Final = (
    *_needs("get update", "configmaps", "", CHAOS, lever.NAME),
    Need("create", "configmaps", "", CHAOS),
)
# The Lease of a service that was hit is kept, without a holder.
_CALL_OFF: Final = (
    Need("list", "leases", _LEASES, ANYWHERE),
    *_needs("update delete", "leases", _LEASES, CHAOS),
)

STOP: Final = (
    *_needs("list delete deletecollection patch", _ALL, GROUP, ANYWHERE),
    *_CALL_OFF,
    *_LEVER,
    *_needs("get delete", "pods", "", TARGET),
    *_needs("get list patch", "deployments statefulsets daemonsets", "apps", TARGET),
    Need("get", "replicasets", "apps", TARGET),
)
"""``gameday stop`` and ``halt``: end, touch and let go of every kind, call runs off, engage the lever.

With ``--force`` pods that kept a fault are replaced, with ``--restart`` what was hit is restarted.
"""

RUN: Final = (
    *_needs("list", _ALL, GROUP, ANYWHERE),
    *_needs("create get delete deletecollection patch", _FAULTS, GROUP, CHAOS),
    *_needs("get list create update delete", "leases", _LEASES, CHAOS),
    Need("get", "configmaps", "", CHAOS, name=lever.NAME),
    Need("get", "namespaces", "", TARGET),
    Need("list", "pods", "", TARGET),
    Need("list", "endpointslices", "discovery.k8s.io", TARGET),
    *_needs("list", "deployments statefulsets", "apps", TARGET),
    *_needs("list", "deployments daemonsets", "apps", CHAOS),
    Need("get", "services", "", TARGET, "proxy"),
)
"""A run: its faults, its Leases, the lever, and a look at the platform."""

GUARD: Final = (
    *_needs("get list watch delete deletecollection patch", _ALL, GROUP, ANYWHERE),
    *_needs("get list watch create", "leases", _LEASES, CHAOS),
    *_CALL_OFF,
    *_LEVER,
)
"""``gameday guard``: see and end every fault, see every run, engage the lever.

The flows ``emergency-stop`` and ``sweep-orphans`` run as it does, and call runs off.
"""

ROLES: Final = {"runs": RUN, "guard": GUARD, "stop": STOP}
