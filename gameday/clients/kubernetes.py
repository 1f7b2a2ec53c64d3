"""Why: the cluster as gameday needs it: what runs there, what is well, and a few small writes.

Built on ``transport`` (timeouts, retries, errors) and ``types`` (what comes back). Chaos Mesh's own
objects are ``chaos_mesh``'s; the meaning of a missing replica is the health check's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Self
from urllib.parse import quote

from gameday.clients.failures import SYSTEM, from_answer, shortened, status_message
from gameday.clients.kubeconfig import open_client
from gameday.clients.selectors import Labels, selector
from gameday.clients.times import parsed, written
from gameday.clients.transport import Api, Json, Limits
from gameday.clients.types import (
    Access,
    ConfigMap,
    Endpoints,
    Event,
    Lease,
    Namespace,
    Pod,
    ServiceAnswer,
    Workload,
    controller_of,
)
from gameday.clock import Clock
from gameday.errors import ConflictError, NotFoundError, UnreachableError

_RESTARTED = "kubectl.kubernetes.io/restartedAt"
_SLICES_OF = "kubernetes.io/service-name"
_BODY_LIMIT = 200


class Cluster:
    """One Kubernetes cluster, as one identity. All methods raise an ``OutsideError`` where they fail."""

    def __init__(self, api: Api) -> None:
        """Speak through ``api``; ``Cluster.connect`` is the usual way in."""
        self.api = api

    @classmethod
    @asynccontextmanager
    async def connect(
        cls,
        context: str | None = None,
        *,
        clock: Clock,
        call_timeout: timedelta = timedelta(seconds=8),
        check: bool = True,
    ) -> AsyncIterator[Self]:
        """The cluster of ``context`` (None: the kubeconfig's current one, or the pod's own).

        Each call takes at most ``call_timeout``. With ``check`` the server is asked for its version
        first, so that one clear error comes early: ``UsageError`` for kubeconfig and context,
        ``UnreachableError``, ``NotAllowedError`` for credentials.
        """
        client, renew = await open_client(context)
        try:
            cluster = cls(Api(client, clock=clock, limits=Limits(timeout=call_timeout), reauthenticate=renew))
            if check:
                # Whoever waits for a first answer should not wait through every retry.
                await Cluster(cluster.api.within(attempts=2)).version()
            yield cluster
        finally:
            await client.close()  # type: ignore[no-untyped-call]  # the SDK's is untyped

    async def version(self) -> str:
        """The version of the API server, such as ``v1.32.1``."""
        return str((await self.api.get("/version", doing="ask for the version")).get("gitVersion", "unknown"))

    async def namespaces(self) -> list[Namespace]:
        """All namespaces."""
        items = await self.api.items("/api/v1/namespaces", doing="list namespaces")
        return [Namespace.read(item) for item in items]

    async def namespace(self, name: str) -> Namespace:
        """One namespace, with its annotations."""
        return Namespace.read(
            await self.api.get(f"/api/v1/namespaces/{quote(name)}", doing=f"read the namespace {name}")
        )

    async def pods(self, namespace: str = "", labels: Labels = "") -> list[Pod]:
        """The pods of ``namespace`` ("": of all) that ``labels`` select."""
        where = f"/namespaces/{quote(namespace)}" if namespace else ""
        items = await self.api.items(
            f"/api/v1{where}/pods", labels=selector(labels), doing=f"list pods{_in(namespace)}"
        )
        return [Pod.read(item) for item in items]

    async def pod(self, namespace: str, name: str) -> Pod:
        """One pod. Raises ``NotFoundError``."""
        return Pod.read(
            await self.api.get(_pod_path(namespace, name), doing=f"read the pod {namespace}/{name}")
        )

    async def delete_pod(self, namespace: str, name: str, *, uid: str = "") -> bool:
        """Delete a pod, with its own grace period, so that its controller replaces it.

        With ``uid`` only that very pod is deleted, not one that has taken its name since.
        Answers whether there was one to delete.
        """
        body: Json = {"preconditions": {"uid": uid}} if uid else {}
        try:
            await self.api.delete(
                _pod_path(namespace, name), body=body, doing=f"delete the pod {namespace}/{name}"
            )
        except (NotFoundError, ConflictError):
            return False
        return True

    async def deployments(self, namespace: str, labels: Labels = "") -> list[Workload]:
        """The Deployments of ``namespace``."""
        return await self._workloads("Deployment", namespace, labels)

    async def statefulsets(self, namespace: str, labels: Labels = "") -> list[Workload]:
        """The StatefulSets of ``namespace``."""
        return await self._workloads("StatefulSet", namespace, labels)

    async def daemonsets(self, namespace: str, labels: Labels = "") -> list[Workload]:
        """The DaemonSets of ``namespace``."""
        return await self._workloads("DaemonSet", namespace, labels)

    async def _workloads(self, kind: str, namespace: str, labels: Labels) -> list[Workload]:
        path = f"/apis/apps/v1/namespaces/{quote(namespace)}/{kind.lower()}s"
        doing = f"list {kind.lower()}s{_in(namespace)}"
        items = await self.api.items(path, labels=selector(labels), doing=doing)
        return [Workload.read(kind, item) for item in items]

    async def workload(self, kind: str, namespace: str, name: str) -> Workload:
        """One Deployment, StatefulSet or DaemonSet. Raises ``NotFoundError``."""
        doing = f"read the {kind} {namespace}/{name}"
        return Workload.read(kind, await self.api.get(_workload_path(kind, namespace, name), doing=doing))

    async def restart(self, workload: Workload, at: datetime) -> Workload:
        """Begin a rolling restart, as ``kubectl rollout restart`` does. ``at`` is written down with it."""
        annotations = {_RESTARTED: written(at)}
        return Workload.read(
            workload.kind,
            await self.api.patch(
                _workload_path(workload.kind, workload.namespace, workload.name),
                {"spec": {"template": {"metadata": {"annotations": annotations}}}},
                doing=f"restart the {workload}",
            ),
        )

    async def owner_of_replica_set(self, namespace: str, name: str) -> str:
        """``Kind/name`` of what controls a ReplicaSet, "" where nothing does. Raises ``NotFoundError``."""
        path = f"/apis/apps/v1/namespaces/{quote(namespace)}/replicasets/{quote(name)}"
        found = await self.api.get(path, doing=f"read the replicaset {namespace}/{name}")
        return controller_of(found["metadata"])

    async def endpoints(self, namespace: str) -> dict[str, Endpoints]:
        """By service of ``namespace``: how many addresses take its traffic."""
        path = f"/apis/discovery.k8s.io/v1/namespaces/{quote(namespace)}/endpointslices"
        items = await self.api.items(path, doing=f"list endpoint slices{_in(namespace)}")
        found: dict[str, Endpoints] = {}
        for item in items:
            service = (item["metadata"].get("labels") or {}).get(_SLICES_OF, "")
            before = found.get(service) or Endpoints(service, namespace, 0, 0)
            points = item.get("endpoints") or ()
            # Unset means ready, as the API's documentation has it.
            ready = sum((one.get("conditions") or {}).get("ready") is not False for one in points)
            found[service] = Endpoints(
                service, namespace, before.ready + ready, before.not_ready + len(points) - ready
            )
        found.pop("", None)
        return found

    async def events(
        self, namespace: str, *, name: str = "", kind: str = "", since: datetime | None = None
    ) -> list[Event]:
        """The events of ``namespace``, oldest first; of one object where it is named."""
        fields = {"involvedObject.name": name, "involvedObject.kind": kind}
        items = await self.api.items(
            f"/api/v1/namespaces/{quote(namespace)}/events",
            fields=selector({key: value for key, value in fields.items() if value}),
            doing=f"list events{_in(namespace)}",
        )
        told = [event for item in items if (event := Event.read(item)).at is not None]
        recent = [event for event in told if since is None or (event.at and event.at >= since)]
        return sorted(recent, key=lambda event: (event.at, event.name))

    async def ask_service(
        self, namespace: str, service: str, port: int, path: str = "/health"
    ) -> ServiceAnswer:
        """GET ``path`` of a service by way of the API server's proxy.

        Any answer of the service is an answer, a 500 as well. Nothing behind the service is status
        0. Raises where the API server itself refuses, knows no such service or does not answer.
        """
        doing = f"ask {namespace}/{service}:{port}{path} through the API server"
        target = f"/api/v1/namespaces/{quote(namespace)}/services/{quote(service)}:{port}/proxy{path}"
        answer = await self.api.raw("GET", target, doing=doing, accept="*/*")
        if answer.status >= 400 and _is_status(answer.json()):
            if answer.status == 503:
                return ServiceAnswer(0, status_message(answer.body))
            raise from_answer(answer.status, answer.body, doing=doing)
        return ServiceAnswer(answer.status, shortened(answer.body.decode("utf-8", "replace"), _BODY_LIMIT))

    async def config_map(self, namespace: str, name: str) -> ConfigMap:
        """One ConfigMap. Raises ``NotFoundError``."""
        path = f"/api/v1/namespaces/{quote(namespace)}/configmaps/{quote(name)}"
        return ConfigMap.read(await self.api.get(path, doing=f"read the ConfigMap {namespace}/{name}"))

    async def write_config_map(self, wanted: ConfigMap) -> ConfigMap:
        """Replace the ConfigMap, or create it where it has no ``resource_version``.

        Raises ``ConflictError`` where somebody else was faster.
        """
        path = f"/api/v1/namespaces/{quote(wanted.namespace)}/configmaps"
        doing = f"write the ConfigMap {wanted.namespace}/{wanted.name}"
        if wanted.resource_version:
            return ConfigMap.read(
                await self.api.put(f"{path}/{quote(wanted.name)}", wanted.body(), doing=doing)
            )
        return ConfigMap.read(await self.api.post(path, wanted.body(), doing=doing))

    async def leases(self, namespace: str, labels: Labels = "") -> list[Lease]:
        """The Leases of ``namespace`` ("": of all)."""
        items = await self.api.items(
            _lease_path(namespace), labels=selector(labels), doing=f"list leases{_in(namespace)}"
        )
        return [Lease.read(item) for item in items]

    async def lease(self, namespace: str, name: str) -> Lease:
        """One Lease. Raises ``NotFoundError``."""
        path = _lease_path(namespace, name)
        return Lease.read(await self.api.get(path, doing=f"read the lease {namespace}/{name}"))

    async def create_lease(self, lease: Lease) -> Lease:
        """Create a Lease. Raises ``ConflictError`` where there is one already."""
        doing = f"create the lease {lease.namespace}/{lease.name}"
        return Lease.read(await self.api.post(_lease_path(lease.namespace), lease.body(), doing=doing))

    async def server_time(self, lease: Lease) -> datetime:
        """The API server's time, in whole seconds: the stamp of ``lease``, which is not really made."""
        answer = await self.api.ask(
            _lease_path(lease.namespace),
            lease.body(),
            query={"dryRun": "All"},
            doing="ask for the server's time (dry run of a lease)",
        )
        created = parsed((answer.get("metadata") or {}).get("creationTimestamp"))
        if created is None:
            raise UnreachableError(SYSTEM, "the dry run of a lease came back without a time.")
        return created

    async def update_lease(self, lease: Lease) -> Lease:
        """Replace a Lease as it was read. Raises ``ConflictError`` where somebody was faster."""
        if not lease.resource_version:
            raise ValueError("a lease is replaced only as it was read, with its resourceVersion")
        doing = f"renew the lease {lease.namespace}/{lease.name}"
        return Lease.read(
            await self.api.put(_lease_path(lease.namespace, lease.name), lease.body(), doing=doing)
        )

    async def delete_lease(self, lease: Lease) -> None:
        """Delete a Lease as it was read; no error where it is gone. Raises ``ConflictError``."""
        version = {"resourceVersion": lease.resource_version} if lease.resource_version else {}
        doing = f"delete the lease {lease.namespace}/{lease.name}"
        try:
            await self.api.delete(
                _lease_path(lease.namespace, lease.name), body={"preconditions": version}, doing=doing
            )
        except NotFoundError:
            return

    async def may(
        self,
        verb: str,
        resource: str,
        *,
        group: str = "",
        namespace: str = "",
        subresource: str = "",
        name: str = "",
    ) -> Access:
        """Whether this identity may do ``verb`` on ``resource`` (plural) in ``namespace`` ("": in all).

        Without ``name`` on each, so that a role which names its objects does not count.
        """
        attributes = {
            "verb": verb,
            "resource": resource,
            "group": group,
            "namespace": namespace,
            "subresource": subresource,
            "name": name,
        }
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {key: value for key, value in attributes.items() if value}},
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        answer = await self.api.ask(path, review, doing=f"ask whether it may {verb} {resource}")
        status = answer.get("status") or {}
        return Access(verb, resource, namespace, bool(status.get("allowed")), str(status.get("reason", "")))

    async def kinds_served(self, group_version: str) -> frozenset[str]:
        """The kinds of ``group/version`` that the server knows; none where it does not know the group."""
        try:
            answer = await self.api.get(
                f"/apis/{group_version}", doing=f"ask for the kinds of {group_version}"
            )
        except NotFoundError:
            return frozenset()
        resources = answer.get("resources") or ()
        return frozenset(one["kind"] for one in resources if "/" not in one["name"])


def _in(namespace: str) -> str:
    return f" in {namespace}" if namespace else " in all namespaces"


def _workload_path(kind: str, namespace: str, name: str) -> str:
    return f"/apis/apps/v1/namespaces/{quote(namespace)}/{kind.lower()}s/{quote(name)}"


def _pod_path(namespace: str, name: str) -> str:
    return f"/api/v1/namespaces/{quote(namespace)}/pods/{quote(name)}"


def _lease_path(namespace: str, name: str = "") -> str:
    where = f"/namespaces/{quote(namespace)}" if namespace else ""
    path = f"/apis/coordination.k8s.io/v1{where}/leases"
    return f"{path}/{quote(name)}" if name else path


def _is_status(body: Json) -> bool:
    return body.get("kind") == "Status" and body.get("apiVersion") == "v1"
