"""Why: what each identity must be allowed to do stands in one list, which people can read.

The roles of ``deployments/base/rbac.yaml`` grant exactly this; the doctor asks the API server for each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gameday.spec.kinds import ALL_KINDS, FAULT_KINDS, GROUP, plural

CHAOS: Final = "chaos"
"""In the chaos namespace."""
TARGET: Final = "target"
"""In the environment's namespace."""
ANYWHERE: Final = "anywhere"
"""In all namespaces."""


@dataclass(frozen=True, slots=True)
class Need:
    """A right that something cannot do without."""

    verb: str
    resource: str
    group: str
    where: str
    subresource: str = ""

    def __str__(self) -> str:
        below = f"/{self.subresource}" if self.subresource else ""
        return f"{self.verb} {self.resource}{below}"


def _needs(verbs: str, resources: str, group: str, where: str) -> tuple[Need, ...]:
    return tuple(
        Need(verb, resource, group, where) for resource in resources.split() for verb in verbs.split()
    )


_LEASES: Final = "coordination.k8s.io"
_ALL: Final = " ".join(plural(kind) for kind in ALL_KINDS)
_FAULTS: Final = " ".join(plural(kind) for kind in FAULT_KINDS)

STOP: Final = _needs("list delete deletecollection patch", _ALL, GROUP, ANYWHERE)
"""``gameday stop``: list, end, touch and, at the end, let go of every kind."""

RUN: Final = (
    *_needs("create get list delete deletecollection patch", _FAULTS, GROUP, CHAOS),
    *_needs("get list create update delete", "leases", _LEASES, CHAOS),
    Need("get", "configmaps", "", CHAOS),
    Need("list", "pods", "", TARGET),
    Need("list", "endpointslices", "discovery.k8s.io", TARGET),
    *_needs("list", "deployments statefulsets", "apps", TARGET),
    *_needs("list", "deployments daemonsets", "apps", CHAOS),
    Need("get", "services", "", TARGET, "proxy"),
)
"""A run: its faults, its Leases, the lever, and a look at the platform."""

GUARD: Final = (
    *_needs("list watch delete deletecollection patch", _ALL, GROUP, ANYWHERE),
    *_needs("get list watch create update", "leases", _LEASES, CHAOS),
    *_needs("get create update", "configmaps", "", CHAOS),
)
"""``gameday guard``: see and end every fault, see every run, engage the lever."""

ROLES: Final = {"runs": RUN, "guard": GUARD, "stop": STOP}
