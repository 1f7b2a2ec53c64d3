"""Why: an experiment names services, so that it can be read and runs in every environment that has them.

A selector becomes a service where it can mean nothing else; otherwise it stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from gameday.spec.importing.faults import Found
from gameday.spec.platform import Environment, Platform, Service

_OF_A_SERVICE: Final = frozenset({"namespaces", "labelSelectors"})


@dataclass(frozen=True)
class Targets:
    """Whom the selectors of manifests mean, in one environment of a platform."""

    platform: Platform
    environment: Environment

    def fault(self, one: Found) -> dict[str, Any]:
        """The fault as an experiment says it."""
        spec = dict(one.spec)
        if not one.selector:
            return {"kind": one.kind, "spec": spec}
        peer = spec.get("target")
        if one.kind == "NetworkChaos" and isinstance(peer, Mapping):
            spec["target"] = {**peer, "selector": self.target(peer["selector"], one, "target", "selector")}
        return {"target": self.target(one.selector, one, "selector"), "kind": one.kind, "spec": spec}

    def target(self, selector: Mapping[str, Any], one: Found, *where: str) -> str | dict[str, Any]:
        """A service, or the selector; a selector that is another than it was is said."""
        service = self.service(selector, one.namespace)
        if service is not None:
            if dict(selector.get("labelSelectors", {})) != dict(service.labels):
                labels = ", ".join(f"{key}={value}" for key, value in service.labels.items())
                one.place.below(*where).changed(f"became the service {service.name}, which is {labels}")
            return service.name
        if selector.get("pods") or selector.get("namespaces") or not one.namespace:
            return dict(selector)
        # Chaos Mesh reads a missing one as the object's own; here it is the environment's.
        return {"namespaces": [one.namespace], **selector}

    def service(self, selector: Mapping[str, Any], namespace: str) -> Service | None:
        """The one service whose pods the selector means, if it can mean no others."""
        wanted = dict(selector.get("labelSelectors", {})).items()
        used = {key for key, value in selector.items() if value}
        if not wanted or not used <= _OF_A_SERVICE or self._elsewhere(selector, namespace):
            return None
        meant = [one for one in self.platform.services if wanted <= one.labels.items()]
        return meant[0] if len(meant) == 1 else None

    def _elsewhere(self, selector: Mapping[str, Any], namespace: str) -> bool:
        return namespaces(selector, namespace) not in ({self.environment.namespace}, set())


def namespaces(selector: Mapping[str, Any], namespace: str) -> set[str]:
    """The namespaces that a selector of an object in ``namespace`` means; empty where nothing says so."""
    return set(selector.get("pods") or ()) or set(selector.get("namespaces") or ()) or {namespace} - {""}
