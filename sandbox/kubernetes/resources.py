"""Why: what can be asked of an API server is a table, and this is it.

A ``Resource`` says how objects of one kind are addressed and which habits of the real API server
they have. Built-in ones are listed here; custom ones are added by ``customs`` while a
CustomResourceDefinition exists. What an operation does is left to ``api``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sandbox.kubernetes.schema import Shape

VERBS: Final = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_CREATE_ONLY: Final = ("create",)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of ``kubectl get`` for a custom resource: its title, type and the path of its value."""

    name: str
    type: str
    path: tuple[str, ...]
    wide: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Resource:
    """One kind of object, as discovery tells of it, with its habits."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    verbs: tuple[str, ...] = VERBS
    custom: bool = False
    # Whether an update may leave resourceVersion out; the real server decides it kind by kind.
    unconditional_update: bool = True
    create_on_update: bool = False
    # The kinds whose DELETE answers with the object instead of a Status.
    returns_deleted: bool = False
    name_rule: str = "subdomain"
    model: str = ""
    shape: Shape | None = None
    columns: tuple[Column, ...] = ()

    @property
    def api_version(self) -> str:
        """``v1`` or ``apps/v1``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """``pods`` or ``deployments.apps``, as messages name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def singular(self) -> str:
        """The name for one, as people type it."""
        return self.kind.lower()


def _core(plural: str, kind: str, **more: object) -> Resource:
    return Resource("", "v1", plural, kind, model=f"V1{kind}", **more)  # type: ignore[arg-type]  # keyword pass-through


def _apps(plural: str, kind: str, short: str) -> Resource:
    return Resource(
        "apps",
        "v1",
        plural,
        kind,
        short_names=(short,),
        categories=("all",),
        subresources=("status",) if kind == "DaemonSet" else ("status", "scale"),
        model=f"V1{kind}",
    )


def _rbac(plural: str, kind: str, *, namespaced: bool) -> Resource:
    return Resource("rbac.authorization.k8s.io", "v1", plural, kind, namespaced=namespaced, model=f"V1{kind}")


def _review(plural: str, kind: str, *, namespaced: bool = False) -> Resource:
    return Resource(
        "authorization.k8s.io",
        "v1",
        plural,
        kind,
        namespaced=namespaced,
        verbs=_CREATE_ONLY,
        model=f"V1{kind}",
    )


NAMESPACES: Final = _core(
    "namespaces",
    "Namespace",
    namespaced=False,
    short_names=("ns",),
    subresources=("status", "finalize"),
    name_rule="label",
    returns_deleted=True,
)
NODES: Final = _core("nodes", "Node", namespaced=False, short_names=("no",), subresources=("status", "proxy"))
PODS: Final = _core(
    "pods",
    "Pod",
    short_names=("po",),
    categories=("all",),
    subresources=("status", "log", "eviction", "proxy"),
    returns_deleted=True,
)
SERVICES: Final = _core(
    "services",
    "Service",
    short_names=("svc",),
    categories=("all",),
    subresources=("status", "proxy"),
    name_rule="label1035",
    create_on_update=True,
    returns_deleted=True,
)
ENDPOINTS: Final = _core("endpoints", "Endpoints", short_names=("ep",), create_on_update=True)
CONFIG_MAPS: Final = _core("configmaps", "ConfigMap", short_names=("cm",))
SECRETS: Final = _core("secrets", "Secret")
SERVICE_ACCOUNTS: Final = _core(
    "serviceaccounts", "ServiceAccount", short_names=("sa",), returns_deleted=True
)
EVENTS: Final = Resource(
    "",
    "v1",
    "events",
    "Event",
    short_names=("ev",),
    model="CoreV1Event",
    create_on_update=True,
)
DEPLOYMENTS: Final = _apps("deployments", "Deployment", "deploy")
REPLICA_SETS: Final = _apps("replicasets", "ReplicaSet", "rs")
STATEFUL_SETS: Final = _apps("statefulsets", "StatefulSet", "sts")
DAEMON_SETS: Final = _apps("daemonsets", "DaemonSet", "ds")
LEASES: Final = Resource(
    "coordination.k8s.io",
    "v1",
    "leases",
    "Lease",
    model="V1Lease",
    unconditional_update=False,
    create_on_update=True,
)
ENDPOINT_SLICES: Final = Resource(
    "discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", model="V1EndpointSlice"
)
DEFINITIONS: Final = Resource(
    "apiextensions.k8s.io",
    "v1",
    "customresourcedefinitions",
    "CustomResourceDefinition",
    namespaced=False,
    short_names=("crd", "crds"),
    subresources=("status",),
    unconditional_update=False,
)
POLICIES: Final = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "validatingadmissionpolicies",
    "ValidatingAdmissionPolicy",
    namespaced=False,
    categories=("api-extensions",),
    subresources=("status",),
    model="V1ValidatingAdmissionPolicy",
)
BINDINGS: Final = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "validatingadmissionpolicybindings",
    "ValidatingAdmissionPolicyBinding",
    namespaced=False,
    categories=("api-extensions",),
    model="V1ValidatingAdmissionPolicyBinding",
)
ROLES: Final = _rbac("roles", "Role", namespaced=True)
ROLE_BINDINGS: Final = _rbac("rolebindings", "RoleBinding", namespaced=True)
CLUSTER_ROLES: Final = _rbac("clusterroles", "ClusterRole", namespaced=False)
CLUSTER_ROLE_BINDINGS: Final = _rbac("clusterrolebindings", "ClusterRoleBinding", namespaced=False)
SELF_REVIEWS: Final = _review("selfsubjectaccessreviews", "SelfSubjectAccessReview")
SUBJECT_REVIEWS: Final = _review("subjectaccessreviews", "SubjectAccessReview")
LOCAL_REVIEWS: Final = _review("localsubjectaccessreviews", "LocalSubjectAccessReview", namespaced=True)

BUILT_IN: Final = (
    NAMESPACES,
    NODES,
    PODS,
    SERVICES,
    ENDPOINTS,
    CONFIG_MAPS,
    SECRETS,
    SERVICE_ACCOUNTS,
    EVENTS,
    DEPLOYMENTS,
    REPLICA_SETS,
    STATEFUL_SETS,
    DAEMON_SETS,
    LEASES,
    ENDPOINT_SLICES,
    DEFINITIONS,
    POLICIES,
    BINDINGS,
    ROLES,
    ROLE_BINDINGS,
    CLUSTER_ROLES,
    CLUSTER_ROLE_BINDINGS,
    SELF_REVIEWS,
    SUBJECT_REVIEWS,
    LOCAL_REVIEWS,
)


class Registry:
    """The resources that are served now."""

    def __init__(self) -> None:
        """Serve what is built in."""
        self._by_path: dict[tuple[str, str, str], Resource] = {}
        for resource in BUILT_IN:
            self.add(resource)

    def add(self, resource: Resource) -> None:
        """Serve ``resource`` from now on."""
        self._by_path[resource.group, resource.version, resource.plural] = resource

    def remove(self, resource: Resource) -> None:
        """Serve ``resource`` no longer."""
        self._by_path.pop((resource.group, resource.version, resource.plural), None)

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        """What is served at that place, if anything."""
        return self._by_path.get((group, version, plural))

    def of_kind(self, group: str, kind: str) -> Resource | None:
        """What is served for ``kind`` of ``group``, if anything."""
        for resource in self._by_path.values():
            if resource.group == group and resource.kind == kind:
                return resource
        return None

    def all(self) -> tuple[Resource, ...]:
        """Everything that is served, in the order in which it came."""
        return tuple(self._by_path.values())

    def groups(self) -> dict[str, list[str]]:
        """The named groups and their versions."""
        found: dict[str, list[str]] = {}
        for resource in self._by_path.values():
            versions = found.setdefault(resource.group, [])
            if resource.version not in versions:
                versions.append(resource.version)
        found.pop("", None)
        return found
