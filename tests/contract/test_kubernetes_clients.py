"""The official clients, asynchronous, synchronous and dynamic, take what the API server answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from kubernetes import dynamic
from kubernetes.aio import client, config, watch
from kubernetes.client import ApiClient as SyncApiClient

from tests.contract import kubernetes_fixtures as fixtures
from tests.contract.kubernetes_fixtures import ApiServer, eventually

api_server = fixtures.api_server
own_namespace = fixtures.own_namespace


@pytest.fixture
async def aio(api_server: ApiServer) -> AsyncIterator[Any]:
    """The asynchronous client."""
    configuration = client.Configuration()
    load: Any = config.load_kube_config
    await load(str(api_server.kubeconfig), client_configuration=configuration)
    async with client.ApiClient(configuration) as api:
        yield api


def new_watch() -> Any:
    """The client's watch, which has no types."""
    make: Any = watch.Watch
    return make()


def map_of(name: str, **data: str) -> client.V1ConfigMap:
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name), data=data)


async def test_every_kind_that_a_run_reads_fits_the_clients_models(aio: Any) -> None:
    core: Any = client.CoreV1Api(aio)
    apps: Any = client.AppsV1Api(aio)
    assert (await core.list_namespace()).items
    assert (await core.list_node()).items
    assert (await core.list_pod_for_all_namespaces()).items
    assert (await core.list_service_for_all_namespaces()).items
    assert (await core.list_endpoints_for_all_namespaces()).items
    assert (await client.DiscoveryV1Api(aio).list_endpoint_slice_for_all_namespaces()).items
    deployments = (await apps.list_deployment_for_all_namespaces()).items
    assert all(deployment.status.observed_generation for deployment in deployments)
    assert (await apps.list_replica_set_for_all_namespaces()).items
    await apps.list_stateful_set_for_all_namespaces()
    await apps.list_daemon_set_for_all_namespaces()
    await core.list_event_for_all_namespaces()
    assert (await client.VersionApi(aio).get_code()).major == "1"


async def test_a_ready_pod_says_so_in_its_models(aio: Any) -> None:
    core: Any = client.CoreV1Api(aio)
    running = await core.list_pod_for_all_namespaces(field_selector="status.phase=Running")
    pod = next(pod for pod in running.items if pod.metadata.owner_references)
    kinds = {condition.type for condition in pod.status.conditions}
    assert kinds >= {"Ready", "ContainersReady", "PodScheduled"}
    assert pod.status.container_statuses[0].restart_count >= 0
    assert pod.status.pod_ip
    assert pod.metadata.creation_timestamp.tzinfo is not None


async def test_objects_are_created_patched_and_deleted(aio: Any, own_namespace: str) -> None:
    core: Any = client.CoreV1Api(aio)
    made = await core.create_namespaced_config_map(own_namespace, map_of("one", a="1"))
    assert made.metadata.uid
    await core.patch_namespaced_config_map("one", own_namespace, {"data": {"b": "2"}})
    read = await core.read_namespaced_config_map("one", own_namespace)
    assert read.data == {"a": "1", "b": "2"}
    done = await core.delete_namespaced_config_map("one", own_namespace)
    assert done["status"] == "Success"


async def test_a_stale_replacement_is_an_exception_with_the_status(aio: Any, own_namespace: str) -> None:
    core: Any = client.CoreV1Api(aio)
    made = await core.create_namespaced_config_map(own_namespace, map_of("one"))
    made.data = {"a": "1"}
    await core.replace_namespaced_config_map("one", own_namespace, made)
    with pytest.raises(client.ApiException) as caught:
        await core.replace_namespaced_config_map("one", own_namespace, made)
    assert caught.value.status == 409
    assert '"reason":"Conflict"' in str(caught.value.body)


async def test_a_lease_is_created_and_renewed(aio: Any, own_namespace: str) -> None:
    leases: Any = client.CoordinationV1Api(aio)
    spec = client.V1LeaseSpec(
        holder_identity="run", lease_duration_seconds=15, renew_time=datetime(2026, 11, 23, tzinfo=UTC)
    )
    lease = client.V1Lease(metadata=client.V1ObjectMeta(name="run"), spec=spec)
    made = await leases.create_namespaced_lease(own_namespace, lease)
    made.spec.lease_transitions = 1
    renewed = await leases.replace_namespaced_lease("run", own_namespace, made)
    assert renewed.spec.lease_transitions == 1


async def test_a_watch_yields_typed_events(aio: Any, own_namespace: str) -> None:
    core: Any = client.CoreV1Api(aio)
    await core.create_namespaced_secret(
        own_namespace, client.V1Secret(metadata=client.V1ObjectMeta(name="one"))
    )
    stream = new_watch()
    events = stream.stream(core.list_namespaced_secret, own_namespace, timeout_seconds=1)
    seen = [(event["type"], event["object"].metadata.name) async for event in events]
    await stream.close()
    assert ("ADDED", "one") in seen


async def test_a_watch_hears_of_what_happens_meanwhile(aio: Any, own_namespace: str) -> None:
    core: Any = client.CoreV1Api(aio)
    stream = new_watch()

    async def first_name() -> str:
        async for event in stream.stream(core.list_namespaced_secret, own_namespace, timeout_seconds=20):
            name: str = event["object"].metadata.name
            return name
        raise AssertionError("the watch ended without an event")

    listening = asyncio.create_task(first_name())
    await asyncio.sleep(0)
    await core.create_namespaced_secret(
        own_namespace, client.V1Secret(metadata=client.V1ObjectMeta(name="later"))
    )
    assert await listening == "later"
    await stream.close()


async def test_access_reviews_answer(aio: Any) -> None:
    attributes = client.V1ResourceAttributes(verb="list", resource="pods", namespace="default")
    review = client.V1SelfSubjectAccessReview(
        spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=attributes)
    )
    answer: Any = await client.AuthorizationV1Api(aio).create_self_subject_access_review(review)
    assert answer.status.allowed is True


async def test_a_pod_is_evicted(aio: Any, own_namespace: str) -> None:
    core: Any = client.CoreV1Api(aio)
    containers = [client.V1Container(name="main", image="registry.k8s.io/pause:3.10")]
    spec = client.V1PodSpec(containers=containers, scheduler_name="nobody")
    await core.create_namespaced_pod(
        own_namespace, client.V1Pod(metadata=client.V1ObjectMeta(name="one"), spec=spec)
    )
    eviction = client.V1Eviction(metadata=client.V1ObjectMeta(name="one"))
    await core.create_namespaced_pod_eviction("one", own_namespace, eviction)
    assert (await core.list_namespaced_pod(own_namespace)).items == []


def test_the_dynamic_client_discovers_and_works(
    api_server: ApiServer, own_namespace: str, tmp_path: Path
) -> None:
    with SyncApiClient(api_server.configuration) as api:
        connect: Any = dynamic.DynamicClient
        finder = connect(api, cache_file=str(tmp_path / "discovery.json"))
        maps = finder.resources.get(api_version="v1", kind="ConfigMap")
        maps.create(body={"metadata": {"name": "one"}, "data": {"a": "1"}}, namespace=own_namespace)
        maps.patch(
            body={"data": {"a": "2"}},
            name="one",
            namespace=own_namespace,
            content_type="application/merge-patch+json",
        )
        assert maps.get(name="one", namespace=own_namespace).data.a == "2"
        applied = {"metadata": {"name": "one"}, "data": {"b": "3"}, "apiVersion": "v1", "kind": "ConfigMap"}
        maps.server_side_apply(body=applied, name="one", namespace=own_namespace, field_manager="gameday")
        assert maps.get(name="one", namespace=own_namespace).data.b == "3"
        maps.delete(name="one", namespace=own_namespace)
        eventually(
            lambda: "one" not in [item.metadata.name for item in maps.get(namespace=own_namespace).items],
            what="the end of the object",
        )


def test_discovery_answers_in_its_old_and_its_aggregated_form(api_server: ApiServer) -> None:
    assert api_server.call("GET", "/api").body["versions"] == ["v1"]
    plain = {entry["name"] for entry in api_server.call("GET", "/apis").body["groups"]}
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    whole = api_server.call("GET", "/apis", accept=accept).body
    assert whole["kind"] == "APIGroupDiscoveryList"
    assert {entry["metadata"]["name"] for entry in whole["items"]} == plain
    core = api_server.call("GET", "/api/v1").body["resources"]
    assert {"pods", "pods/log", "services/proxy", "configmaps"} <= {entry["name"] for entry in core}


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz"])
def test_the_server_says_that_it_is_well(api_server: ApiServer, path: str) -> None:
    answer = api_server.call("GET", path)
    assert (answer.status, answer.body) == (200, "ok")
