"""Creating and reading objects: what an API server takes, and in which words it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract import kubernetes_fixtures as fixtures
from tests.contract.kubernetes_fixtures import ApiServer, Json

api_server = fixtures.api_server
own_namespace = fixtures.own_namespace

MERGE = "application/merge-patch+json"


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
