"""Changing objects: updates and patches, what they need and in which words they are refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract import kubernetes_fixtures as fixtures
from tests.contract.kubernetes_fixtures import ApiServer, Json

api_server = fixtures.api_server
own_namespace = fixtures.own_namespace

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"


def config_map(name: str, **content: Any) -> Json:
    metadata = {"name": name, **content.pop("metadata", {})}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, **content}


def pod(name: str, **spec: Any) -> Json:
    containers = [{"name": "main", "image": "registry.k8s.io/pause:3.10"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": containers, **spec},
    }


@pytest.fixture
def maps(own_namespace: str) -> str:
    return f"/api/v1/namespaces/{own_namespace}/configmaps"


@pytest.fixture
def pods(own_namespace: str) -> str:
    return f"/api/v1/namespaces/{own_namespace}/pods"


def test_an_update_of_an_old_version_is_a_conflict(api_server: ApiServer, maps: str) -> None:
    made = api_server.call("POST", maps, config_map("one", data={"a": "1"})).body
    assert api_server.call("PUT", f"{maps}/one", {**made, "data": {"a": "2"}}).status == 200
    answer = api_server.call("PUT", f"{maps}/one", {**made, "data": {"a": "3"}})
    assert (answer.status, answer.body["reason"]) == (409, "Conflict")
    assert "the object has been modified" in answer.message


def test_a_built_in_object_may_be_replaced_whatever_its_version(api_server: ApiServer, maps: str) -> None:
    api_server.call("POST", maps, config_map("one", data={"a": "1"}))
    assert api_server.call("PUT", f"{maps}/one", config_map("one", data={"a": "2"})).status == 200


def test_an_update_with_another_uid_is_a_conflict(api_server: ApiServer, maps: str) -> None:
    api_server.call("POST", maps, config_map("one"))
    other = config_map("one", metadata={"uid": "00000000-0000-0000-0000-000000000000"})
    assert api_server.call("PUT", f"{maps}/one", other).status == 409


def test_an_update_of_what_is_not_there_is_not_found(api_server: ApiServer, maps: str) -> None:
    assert api_server.call("PUT", f"{maps}/none", config_map("none")).status == 404


def test_an_update_under_another_name_is_a_bad_request(api_server: ApiServer, maps: str) -> None:
    api_server.call("POST", maps, config_map("one"))
    assert api_server.call("PUT", f"{maps}/one", config_map("two")).status == 400


def test_an_update_that_changes_nothing_keeps_the_revision(api_server: ApiServer, maps: str) -> None:
    made = api_server.call("POST", maps, config_map("one", data={"a": "1"})).body
    again = api_server.call("PUT", f"{maps}/one", made).body
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


def test_a_merge_patch_sets_and_removes(api_server: ApiServer, maps: str) -> None:
    api_server.call("POST", maps, config_map("one", data={"a": "1", "b": "2"}))
    patched = api_server.call("PATCH", f"{maps}/one", {"data": {"a": None, "c": "3"}}, content=MERGE)
    assert patched.body["data"] == {"b": "2", "c": "3"}


def test_a_patch_that_names_an_old_version_is_a_conflict(api_server: ApiServer, maps: str) -> None:
    made = api_server.call("POST", maps, config_map("one")).body
    api_server.call("PATCH", f"{maps}/one", {"data": {"a": "1"}}, content=MERGE)
    stale = {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}, "data": {"a": "2"}}
    assert api_server.call("PATCH", f"{maps}/one", stale, content=MERGE).status == 409


def test_a_json_patch_is_carried_out_in_order(api_server: ApiServer, maps: str) -> None:
    api_server.call("POST", maps, config_map("one", data={"a": "1"}))
    operations = [
        {"op": "test", "path": "/data/a", "value": "1"},
        {"op": "replace", "path": "/data/a", "value": "2"},
        {"op": "add", "path": "/data/b", "value": "3"},
    ]
    assert api_server.call("PATCH", f"{maps}/one", operations, content=JSON_PATCH).body["data"] == {
        "a": "2",
        "b": "3",
    }


def test_a_json_patch_whose_test_fails_is_refused(api_server: ApiServer, maps: str) -> None:
    api_server.call("POST", maps, config_map("one", data={"a": "1"}))
    operations = [{"op": "test", "path": "/data/a", "value": "9"}]
    assert api_server.call("PATCH", f"{maps}/one", operations, content=JSON_PATCH).status == 422


def test_a_json_patch_that_is_none_is_a_bad_request(api_server: ApiServer, maps: str) -> None:
    api_server.call("POST", maps, config_map("one"))
    assert api_server.call("PATCH", f"{maps}/one", {"a": 1}, content=JSON_PATCH).status == 400


def test_a_strategic_patch_merges_containers_by_name(api_server: ApiServer, own_namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{own_namespace}/deployments"
    containers = [{"name": "a", "image": "pause:1"}, {"name": "b", "image": "pause:1"}]
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": containers}}
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": "x"}}, "template": template}
    api_server.call("POST", path, {"metadata": {"name": "d"}, "spec": spec})
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "b", "image": "pause:2"}]}}}}
    patched = api_server.call("PATCH", f"{path}/d", patch, content=STRATEGIC).body
    images = {c["name"]: c["image"] for c in patched["spec"]["template"]["spec"]["containers"]}
    assert images == {"a": "pause:1", "b": "pause:2"}


def test_a_patch_of_an_unknown_format_is_unsupported(api_server: ApiServer, maps: str) -> None:
    api_server.call("POST", maps, config_map("one"))
    assert api_server.call("PATCH", f"{maps}/one", {"data": {}}, content="application/json").status == 415


def test_an_applied_configuration_creates_then_owns_its_fields(api_server: ApiServer, maps: str) -> None:
    content = "application/apply-patch+yaml"
    path = f"{maps}/one?fieldManager=gameday"
    assert (
        api_server.call("PATCH", path, config_map("one", data={"a": "1", "b": "2"}), content=content).status
        == 201
    )
    changed = api_server.call("PATCH", path, config_map("one", data={"b": "3"}), content=content)
    assert (changed.status, changed.body["data"]) == (200, {"b": "3"})


def test_what_a_pod_runs_cannot_be_changed(api_server: ApiServer, pods: str) -> None:
    api_server.call("POST", pods, pod("one"))
    patch = {"spec": {"restartPolicy": "Never"}}
    answer = api_server.call("PATCH", f"{pods}/one", patch, content=STRATEGIC)
    assert answer.status == 422
    assert "pod updates may not change fields other than" in answer.message


def test_the_selector_of_a_deployment_cannot_be_changed(api_server: ApiServer, own_namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{own_namespace}/deployments"
    template = {"metadata": {"labels": {"app": "x", "b": "c"}}, "spec": pod("x")["spec"]}
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": "x"}}, "template": template}
    api_server.call("POST", path, {"metadata": {"name": "d"}, "spec": spec})
    patch = {"spec": {"selector": {"matchLabels": {"b": "c"}}}}
    answer = api_server.call("PATCH", f"{path}/d", patch, content=STRATEGIC)
    assert answer.status == 422
    assert "field is immutable" in answer.message


def test_the_status_is_changed_by_its_own_path_only(api_server: ApiServer, pods: str) -> None:
    api_server.call("POST", pods, pod("one", schedulerName="none"))
    main = api_server.call("PATCH", f"{pods}/one", {"status": {"message": "main"}}, content=MERGE).body
    assert "message" not in main["status"]
    patch = {"status": {"message": "sub"}, "metadata": {"labels": {"a": "b"}}}
    api_server.call("PATCH", f"{pods}/one/status", {"status": patch["status"]}, content=MERGE)
    assert api_server.call("GET", f"{pods}/one").body["status"]["message"] == "sub"


def test_the_generation_counts_changes_of_the_spec(api_server: ApiServer, own_namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{own_namespace}/deployments"
    template = {"metadata": {"labels": {"app": "x"}}, "spec": pod("x")["spec"]}
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": "x"}}, "template": template}
    assert (
        api_server.call("POST", path, {"metadata": {"name": "d"}, "spec": spec}).body["metadata"][
            "generation"
        ]
        == 1
    )
    labelled = api_server.call("PATCH", f"{path}/d", {"metadata": {"labels": {"a": "b"}}}, content=MERGE)
    assert labelled.body["metadata"]["generation"] == 1
    paused = api_server.call("PATCH", f"{path}/d", {"spec": {"paused": True}}, content=MERGE)
    assert paused.body["metadata"]["generation"] == 2
