"""Why: the admission policies are held against objects by an API server that has nothing else to say.

``PolicyServer`` serves Chaos Mesh's kinds without schema and webhook, so that whatever is refused is
refused by a policy.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gameday.safety.policy import render
from gameday.spec.catalogue import Catalogue
from gameday.spec.guardrails import Guardrails
from gameday.spec.kinds import ALL_KINDS, plural
from gameday.spec.platform import Platform
from sandbox.kubernetes.api import Api
from sandbox.kubernetes.bodies import Call
from sandbox.kubernetes.errors import ApiError
from sandbox.kubernetes.policies import Policies
from sandbox.kubernetes.resources import NAMESPACES, Registry, Resource
from sandbox.kubernetes.schema import ANY
from sandbox.kubernetes.store import Store
from sandbox.world import World

Json = dict[str, Any]
CHAOS = "chaos-engineering"
PERSON = "somebody"
APPROVER = "approver"


def catalogue() -> Catalogue:
    """The catalogue of this repository."""
    return Catalogue(Path(__file__).parents[2] / "experiments")


class PolicyServer:
    """An API server with policies, where ``APPROVER`` alone may use the verb approve."""

    def __init__(self, guardrails: Guardrails, platform: Platform) -> None:
        self.api = Api(World(seed=1, epoch=datetime(2026, 11, 23, tzinfo=UTC)), Registry(), Store())
        for kind in ALL_KINDS:
            self.api.registry.add(
                Resource("chaos-mesh.org", "v1alpha1", plural(kind), kind, custom=True, shape=ANY)
            )
        Policies(self.api, lambda user, verb, *_: verb != "approve" or user == APPROVER)
        namespace = {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": CHAOS}}
        self.api.create(NAMESPACES, "", namespace)
        for body in render(guardrails, platform):
            self.send(body)

    def resource(self, body: Json) -> Resource:
        """Where ``body`` is to be sent."""
        group, _, _ = body["apiVersion"].rpartition("/")
        found = self.api.registry.of_kind(group, body["kind"])
        assert found is not None
        return found

    def send(self, body: Json, *, user: str = PERSON, dry_run: bool = False) -> Json:
        """Create ``body``. Raises ``ApiError``."""
        call = Call(user=user, dry_run=dry_run, strictness="Ignore")
        resource, copied = self.resource(body), json.loads(json.dumps(body))
        return self.api.create(resource, CHAOS if resource.namespaced else "", copied, call)

    def change(self, body: Json, patch: Json, *, user: str = PERSON) -> Json:
        """Merge ``patch`` into what ``body`` became. Raises ``ApiError``."""
        merge, name = "application/merge-patch+json", body["metadata"]["name"]
        call = Call(user=user)
        changed, _ = self.api.patch(self.resource(body), CHAOS, name, patch, merge, call)
        return changed

    def refusal(self, body: Json, *, user: str = PERSON) -> str:
        """Why ``body`` is refused, "" where it is not."""
        try:
            made = self.send(body, user=user)
        except ApiError as error:
            return error.message
        self.api.store.remove(self.resource(body), CHAOS, made["metadata"]["name"])
        return ""
