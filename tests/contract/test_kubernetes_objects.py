"""Creating, reading, changing objects: what an API server takes, and in which words it refuses."""

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


def lease(name: str, holder: str = "a", seconds: int = 15) -> Json:
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": seconds},
    }


@pytest.fixture
def maps(own_namespace: str) -> str:
    return f"/api/v1/namespaces/{own_namespace}/configmaps"


@pytest.fixture
def pods(own_namespace: str) -> str:
    return f"/api/v1/namespaces/{own_namespace}/pods"


@pytest.fixture
def leases(own_namespace: str) -> str:
    return f"/apis/coordination.k8s.io/v1/namespaces/{own_namespace}/leases"


def test_a_created_object_gets_uid_revision_time_and_namespace(api_server: ApiServer, maps: str) -> None:
    made = api_server.call("POST", maps, config_map("one", data={"a": "b"}))
    assert made.status == 201
    metadata = made.body["metadata"]
    assert metadata["uid"]
    assert int(metadata["resourceVersion"]) > 0
    assert metadata["creationTimestamp"].endswith("Z")
    assert metadata["namespace"] == maps.split("/")[4]
    assert api_server.call("GET", f"{maps}/one").body == made.body


def test_what_the_client_says_about_uid_and_times_is_ignored(api_server: ApiServer, maps: str) -> None:
    told = {"uid": "mine", "creationTimestamp": "2001-01-01T00:00:00Z"}
    made = api_server.call("POST", maps, config_map("one", metadata=told))
    assert made.body["metadata"]["uid"] != "mine"
    assert made.body["metadata"]["creationTimestamp"] > "2020"


def test_kind_and_version_may_be_left_out_of_a_built_in_object(api_server: ApiServer, maps: str) -> None:
    made = api_server.call("POST", maps, {"metadata": {"name": "bare"}})
    assert (made.status, made.body["kind"], made.body["apiVersion"]) == (201, "ConfigMap", "v1")


def test_an_object_of_another_kind_is_a_bad_request(api_server: ApiServer, maps: str) -> None:
    answer = api_server.call("POST", maps, pod("wrong"))
    assert (answer.status, answer.body["reason"]) == (400, "BadRequest")


def test_a_name_that_is_there_already_is_refused(api_server: ApiServer, maps: str) -> None:
    api_server.call("POST", maps, config_map("one"))
    answer = api_server.call("POST", maps, config_map("one"))
    assert (answer.status, answer.body["reason"]) == (409, "AlreadyExists")
    assert answer.message == 'configmaps "one" already exists'
    assert answer.body["details"] == {"name": "one", "kind": "configmaps"}


def test_what_is_not_there_is_not_found_with_a_status_object(api_server: ApiServer, maps: str) -> None:
    answer = api_server.call("GET", f"{maps}/none")
    assert answer.status == 404
    assert answer.body == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'configmaps "none" not found',
        "reason": "NotFound",
        "details": {"name": "none", "kind": "configmaps"},
        "code": 404,
    }


@pytest.mark.parametrize("path", ["/api/v1/nonsense", "/apis/none/v1/things", "/apis/apps/v9/deployments"])
def test_a_resource_that_is_not_served_is_not_found(api_server: ApiServer, path: str) -> None:
    assert api_server.call("GET", path).status == 404


def test_nothing_can_be_created_in_a_namespace_that_is_not_there(api_server: ApiServer) -> None:
    answer = api_server.call("POST", "/api/v1/namespaces/nowhere-at-all/configmaps", config_map("one"))
    assert (answer.status, answer.message) == (404, 'namespaces "nowhere-at-all" not found')


def test_a_namespace_that_differs_from_the_path_is_a_bad_request(api_server: ApiServer, maps: str) -> None:
    answer = api_server.call("POST", maps, config_map("one", metadata={"namespace": "default"}))
    assert answer.status == 400
    assert "does not match the namespace sent on the request" in answer.message


def test_a_generated_name_has_the_prefix_and_five_more_characters(api_server: ApiServer, maps: str) -> None:
    made = api_server.call("POST", maps, {"metadata": {"generateName": "run-"}})
    name = made.body["metadata"]["name"]
    assert name.startswith("run-")
    assert len(name) == len("run-") + 5


def test_an_object_without_a_name_is_invalid(api_server: ApiServer, maps: str) -> None:
    answer = api_server.call("POST", maps, {"metadata": {}})
    assert answer.status == 422
    assert "name or generateName is required" in answer.message


@pytest.mark.parametrize("name", ["Upper", "under_score", "-dash", "dash-", "a..b", "x" * 254])
def test_a_name_that_breaks_the_rules_is_invalid_and_the_field_is_named(
    api_server: ApiServer,
    maps: str,
    name: str,
) -> None:
    answer = api_server.call("POST", maps, config_map(name))
    assert (answer.status, answer.body["reason"]) == (422, "Invalid")
    assert answer.body["details"]["causes"][0]["field"] == "metadata.name"


def test_a_service_name_must_begin_with_a_letter(api_server: ApiServer, own_namespace: str) -> None:
    body = {"metadata": {"name": "1st"}, "spec": {"ports": [{"port": 80}]}}
    assert api_server.call("POST", f"/api/v1/namespaces/{own_namespace}/services", body).status == 422


def test_a_service_without_ports_is_invalid(api_server: ApiServer, own_namespace: str) -> None:
    body = {"metadata": {"name": "portless"}, "spec": {"selector": {"app": "x"}}}
    answer = api_server.call("POST", f"/api/v1/namespaces/{own_namespace}/services", body)
    assert answer.status == 422
    assert "spec.ports: Required value" in answer.message


def test_a_namespace_name_takes_no_dots(api_server: ApiServer) -> None:
    assert api_server.call("POST", "/api/v1/namespaces", {"metadata": {"name": "a.b"}}).status == 422


@pytest.mark.parametrize(
    "labels",
    [{"bad key": "x"}, {"k": "bad value"}, {"k": "-x"}, {"k": "y" * 64}, {"/k": "x"}, {"a/b/c": "x"}],
)
def test_labels_that_break_the_rules_are_invalid(
    api_server: ApiServer,
    maps: str,
    labels: dict[str, str],
) -> None:
    answer = api_server.call("POST", maps, config_map("one", metadata={"labels": labels}))
    assert answer.status == 422
    assert "metadata.labels" in answer.message


def test_a_label_must_be_a_string(api_server: ApiServer, maps: str) -> None:
    answer = api_server.call("POST", maps, config_map("one", metadata={"labels": {"count": 1}}))
    assert (answer.status, answer.body["reason"]) == (400, "BadRequest")


def test_values_of_a_config_map_must_be_strings(api_server: ApiServer, maps: str) -> None:
    answer = api_server.call("POST", maps, config_map("one", data={"a": 1}))
    assert answer.status == 400
    assert "cannot unmarshal number" in answer.message


def test_a_body_that_is_no_json_is_a_bad_request(api_server: ApiServer, maps: str) -> None:
    assert api_server.call("POST", maps, raw=b"{not json").status == 400


def test_unknown_fields_are_dropped_and_warned_of(api_server: ApiServer, maps: str) -> None:
    made = api_server.call("POST", maps, config_map("one", datum={"a": "b"}))
    assert made.status == 201
    assert "datum" not in made.body
    assert 'unknown field \\"datum\\"' in made.headers["warning"]


def test_unknown_fields_are_refused_by_strict_validation(api_server: ApiServer, pods: str) -> None:
    body = pod("one", containrs=[])
    answer = api_server.call("POST", f"{pods}?fieldValidation=Strict", body)
    assert answer.status == 400
    assert 'strict decoding error: unknown field "spec.containrs"' in answer.message


def test_a_pod_needs_containers(api_server: ApiServer, pods: str) -> None:
    answer = api_server.call("POST", pods, {"metadata": {"name": "empty"}, "spec": {"containers": []}})
    assert answer.status == 422
    assert "spec.containers: Required value" in answer.message


def test_a_container_needs_a_name_and_an_image(api_server: ApiServer, pods: str) -> None:
    answer = api_server.call("POST", pods, pod("one", containers=[{}]))
    fields = {cause["field"] for cause in answer.body["details"]["causes"]}
    assert (answer.status, fields >= {"spec.containers[0].name", "spec.containers[0].image"}) == (422, True)


def test_a_deployment_must_select_its_own_pods(api_server: ApiServer, own_namespace: str) -> None:
    template = {"metadata": {"labels": {"app": "b"}}, "spec": pod("x")["spec"]}
    spec = {"selector": {"matchLabels": {"app": "a"}}, "template": template}
    path = f"/apis/apps/v1/namespaces/{own_namespace}/deployments"
    answer = api_server.call("POST", path, {"metadata": {"name": "d"}, "spec": spec})
    assert answer.status == 422
    assert "`selector` does not match template `labels`" in answer.message


def test_a_dry_run_judges_and_stores_nothing(api_server: ApiServer, maps: str) -> None:
    assert api_server.call("POST", f"{maps}?dryRun=All", config_map("one")).status == 201
    assert api_server.call("GET", f"{maps}/one").status == 404
    assert api_server.call("POST", f"{maps}?dryRun=All", config_map("Bad_Name")).status == 422
    api_server.call("POST", maps, config_map("two", data={"a": "1"}))
    patched = api_server.call("PATCH", f"{maps}/two?dryRun=All", {"data": {"a": "2"}}, content=MERGE)
    assert patched.body["data"] == {"a": "2"}
    assert api_server.call("DELETE", f"{maps}/two?dryRun=All").status == 200
    assert api_server.call("GET", f"{maps}/two").body["data"] == {"a": "1"}


def test_a_dry_run_of_another_sort_is_refused(api_server: ApiServer, maps: str) -> None:
    assert api_server.call("POST", f"{maps}?dryRun=Some", config_map("one")).status in (400, 422)


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


def test_a_lease_is_taken_renewed_and_lost_by_revision(api_server: ApiServer, leases: str) -> None:
    taken = api_server.call("POST", leases, lease("run")).body
    renewed = api_server.call(
        "PUT", f"{leases}/run", {**taken, "spec": {**taken["spec"], "leaseTransitions": 1}}
    )
    assert renewed.status == 200
    other = api_server.call("PUT", f"{leases}/run", {**taken, "spec": lease("run", "b")["spec"]})
    assert (other.status, other.body["reason"]) == (409, "Conflict")
    assert api_server.call("GET", f"{leases}/run").body["spec"]["holderIdentity"] == "a"


def test_a_lease_cannot_be_replaced_without_its_revision(api_server: ApiServer, leases: str) -> None:
    api_server.call("POST", leases, lease("run"))
    answer = api_server.call("PUT", f"{leases}/run", lease("run", "b"))
    assert answer.status == 422
    assert "metadata.resourceVersion: Invalid value: 0x0: must be specified for an update" in answer.message


def test_a_lease_lasts_longer_than_nothing(api_server: ApiServer, leases: str) -> None:
    answer = api_server.call("POST", leases, lease("run", seconds=0))
    assert answer.status == 422
    assert "must be greater than 0" in answer.message


def test_a_lease_keeps_its_microseconds(api_server: ApiServer, leases: str) -> None:
    body = lease("run")
    body["spec"]["renewTime"] = "2026-11-23T10:15:30.123456Z"
    assert api_server.call("POST", leases, body).body["spec"]["renewTime"] == "2026-11-23T10:15:30.123456Z"
