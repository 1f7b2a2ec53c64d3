"""Why: that an identity may do just what it needs can only be seen where more is refused.

Authenticates whoever shows a token ``as:USER,GROUP,…`` and allows them what the roles bound to them
grant, as Kubernetes' RBAC does. The sandbox's own token, like a cluster's first administrator, may do
everything. Keeps what each of the others asked for, so that a test can find rights that nobody uses.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from sandbox.kubernetes.errors import Obj
from sandbox.kubernetes.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES
from sandbox.kubernetes.store import Store

ADMINISTRATOR: Final = "gameday"
_PREFIX: Final = "Bearer as:"
_ACCOUNT: Final = "system:serviceaccount:"
# What a real cluster lets everybody who is authenticated do.
_EVERYBODY: Final = ("selfsubjectaccessreviews", "selfsubjectrulesreviews")


class Asked(NamedTuple):
    """What somebody wanted to do; ``resource`` is ``services/proxy`` for a subresource."""

    user: str
    verb: str
    group: str
    resource: str
    namespace: str
    name: str


class Roles:
    """Who may do what, by the roles and bindings that are stored."""

    def __init__(self, store: Store) -> None:
        """Read roles and bindings from ``store`` whenever somebody asks."""
        self._store = store
        self._groups: dict[str, frozenset[str]] = {}
        self.asked: dict[Asked, bool] = {}

    def authenticate(self, authorization: str, impersonated: str = "") -> str:
        """The user behind a header ``Authorization``, or the one that the administrator speaks for."""
        if not authorization.startswith(_PREFIX):
            return impersonated or ADMINISTRATOR
        user, *groups = authorization.removeprefix(_PREFIX).split(",")
        implied = {"system:authenticated"}
        if user.startswith(_ACCOUNT):
            implied |= {"system:serviceaccounts", f"system:serviceaccounts:{user.split(':')[2]}"}
        self._groups[user] = frozenset({*groups, *implied})
        return user

    def allow(self, asked: Asked, *, keep: bool = True) -> bool:
        """Whether the roles of the user allow it; who has shown no token of their own may do anything."""
        groups = self._groups.get(asked.user)
        if groups is None or asked.resource in _EVERYBODY:
            return True
        allowed = any(_grants(rule, asked) for rule in self._rules(asked.user, groups, asked.namespace))
        if keep:
            self.asked[asked] = allowed
        return allowed

    def _rules(self, user: str, groups: frozenset[str], namespace: str) -> Iterator[Obj]:
        bindings = list(self._store.all(CLUSTER_ROLE_BINDINGS))
        if namespace:
            bindings += self._store.all(ROLE_BINDINGS, namespace)
        for binding in bindings:
            if any(_is(subject, user, groups) for subject in binding.get("subjects") or ()):
                reference = binding["roleRef"]
                of_cluster = reference["kind"] == "ClusterRole"
                resource, space = (CLUSTER_ROLES, "") if of_cluster else (ROLES, namespace)
                role = self._store.get(resource, space, reference["name"]) or {}
                yield from role.get("rules") or ()


def _is(subject: Obj, user: str, groups: frozenset[str]) -> bool:
    match subject.get("kind"):
        case "ServiceAccount":
            return user == f"{_ACCOUNT}{subject.get('namespace', '')}:{subject['name']}"
        case "Group":
            return subject["name"] in groups
        case _:
            return bool(subject.get("name") == user)


def _grants(rule: Obj, asked: Asked) -> bool:
    names = rule.get("resourceNames") or ()
    wanted = (("verbs", asked.verb), ("apiGroups", asked.group), ("resources", asked.resource))
    listed = all("*" in (rule.get(key) or ()) or value in (rule.get(key) or ()) for key, value in wanted)
    return listed and (not names or asked.name in names)
