"""Ending objects: grace, finalizers, preconditions, collections, dependents, namespaces."""

from __future__ import annotations

import pytest

from tests.contract import kubernetes_fixtures as fixtures
from tests.contract.kubernetes_fixtures import ApiServer, Json, eventually

api_server = fixtures.api_server
own_namespace = fixtures.own_namespace

MERGE = "application/merge-patch+json"


@pytest.fixture
def maps(own_namespace: str) -> str:
    return f"/api/v1/namespaces/{own_namespace}/configmaps"


def make(api: ApiServer, path: str, name: str, **metadata: object) -> Json:
    answer = api.call("POST", path, {"metadata": {"name": name, **metadata}})
    assert answer.status == 201, answer.body
    made: Json = answer.body
    return made


def test_a_deleted_object_is_gone_and_a_status_says_which(api_server: ApiServer, maps: str) -> None:
    made = make(api_server, maps, "one")
    answer = api_server.call("DELETE", f"{maps}/one")
    assert (answer.status, answer.body["status"]) == (200, "Success")
    assert answer.body["details"] == {"name": "one", "kind": "configmaps", "uid": made["metadata"]["uid"]}
    assert api_server.call("GET", f"{maps}/one").status == 404
    assert api_server.call("DELETE", f"{maps}/one").status == 404


def test_an_object_with_a_finalizer_waits_for_it(api_server: ApiServer, maps: str) -> None:
    make(api_server, maps, "one", finalizers=["example.com/wait"])
    answer = api_server.call("DELETE", f"{maps}/one")
    assert answer.status == 200
    assert answer.body["metadata"]["deletionTimestamp"]
    assert api_server.call("DELETE", f"{maps}/one").status == 200
    assert api_server.call("GET", f"{maps}/one").status == 200
    api_server.call("PATCH", f"{maps}/one", {"metadata": {"finalizers": None}}, content=MERGE)
    assert api_server.call("GET", f"{maps}/one").status == 404


def test_no_finalizer_is_added_to_what_is_being_deleted(api_server: ApiServer, maps: str) -> None:
    make(api_server, maps, "one", finalizers=["example.com/wait"])
    api_server.call("DELETE", f"{maps}/one")
    patch = {"metadata": {"finalizers": ["example.com/wait", "example.com/more"]}}
    answer = api_server.call("PATCH", f"{maps}/one", patch, content=MERGE)
    assert answer.status == 422
    assert "no new finalizers can be added if the object is being deleted" in answer.message
    api_server.call("PATCH", f"{maps}/one", {"metadata": {"finalizers": None}}, content=MERGE)


def test_a_deletion_cannot_be_taken_back(api_server: ApiServer, maps: str) -> None:
    make(api_server, maps, "one", finalizers=["example.com/wait"])
    api_server.call("DELETE", f"{maps}/one")
    patch = {"metadata": {"deletionTimestamp": None, "labels": {"a": "b"}}}
    patched = api_server.call("PATCH", f"{maps}/one", patch, content=MERGE)
    assert patched.body["metadata"]["deletionTimestamp"]
    api_server.call("PATCH", f"{maps}/one", {"metadata": {"finalizers": None}}, content=MERGE)


def test_a_finalizer_without_a_prefix_or_with_bad_letters_is_invalid(
    api_server: ApiServer, maps: str
) -> None:
    body = {"metadata": {"name": "one", "finalizers": ["bad finalizer"]}}
    assert api_server.call("POST", maps, body).status == 422


def test_a_deletion_for_another_uid_or_revision_is_a_conflict(api_server: ApiServer, maps: str) -> None:
    made = make(api_server, maps, "one")
    for conditions in ({"uid": "another"}, {"resourceVersion": "1"}):
        answer = api_server.call("DELETE", f"{maps}/one", {"preconditions": conditions})
        assert (answer.status, answer.body["reason"]) == (409, "Conflict")
        assert "recondition" in answer.message
    right = {"uid": made["metadata"]["uid"], "resourceVersion": made["metadata"]["resourceVersion"]}
    assert api_server.call("DELETE", f"{maps}/one", {"preconditions": right}).status == 200


def test_an_unknown_way_to_propagate_is_refused(api_server: ApiServer, maps: str) -> None:
    make(api_server, maps, "one")
    assert api_server.call("DELETE", f"{maps}/one", {"propagationPolicy": "Sideways"}).status == 422
    assert api_server.call("DELETE", f"{maps}/one?propagationPolicy=Sideways").status == 422


def test_a_collection_is_deleted_by_selector(api_server: ApiServer, maps: str) -> None:
    make(api_server, maps, "one", labels={"gameday/run": "r1"})
    make(api_server, maps, "two", labels={"gameday/run": "r1"})
    make(api_server, maps, "other", labels={"gameday/run": "r2"})
    answer = api_server.call("DELETE", f"{maps}?labelSelector=gameday/run%3Dr1")
    assert answer.status == 200
    assert [item["metadata"]["name"] for item in answer.body["items"]] == ["one", "two"]
    left = api_server.call("GET", f"{maps}?labelSelector=gameday/run").body["items"]
    assert [item["metadata"]["name"] for item in left] == ["other"]


def test_a_collection_with_finalizers_is_marked_for_deletion(api_server: ApiServer, maps: str) -> None:
    make(api_server, maps, "one", finalizers=["example.com/wait"])
    assert api_server.call("DELETE", maps).status == 200
    assert api_server.call("GET", f"{maps}/one").body["metadata"]["deletionTimestamp"]
    api_server.call("PATCH", f"{maps}/one", {"metadata": {"finalizers": None}}, content=MERGE)


def test_a_collection_with_a_selector_that_cannot_be_read_deletes_nothing(
    api_server: ApiServer, maps: str
) -> None:
    make(api_server, maps, "one")
    assert api_server.call("DELETE", f"{maps}?labelSelector=a%20b").status == 400
    assert api_server.call("GET", f"{maps}/one").status == 200


def test_a_dry_run_of_a_collection_deletes_nothing(api_server: ApiServer, maps: str) -> None:
    make(api_server, maps, "one")
    assert api_server.call("DELETE", f"{maps}?dryRun=All").status == 200
    assert api_server.call("GET", f"{maps}/one").status == 200


def owned(owner: Json) -> list[Json]:
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
            "blockOwnerDeletion": True,
        }
    ]


def gone(api: ApiServer, path: str) -> bool:
    return api.call("GET", path).status == 404


def test_dependents_go_with_their_owner(api_server: ApiServer, maps: str) -> None:
    owner = make(api_server, maps, "owner")
    make(api_server, maps, "child", ownerReferences=owned(owner))
    api_server.call("DELETE", f"{maps}/owner")
    eventually(lambda: gone(api_server, f"{maps}/child"), what="the end of the dependent")


def test_an_owner_deleted_in_the_foreground_goes_last(api_server: ApiServer, maps: str) -> None:
    owner = make(api_server, maps, "owner")
    make(api_server, maps, "child", ownerReferences=owned(owner), finalizers=["example.com/wait"])
    answer = api_server.call("DELETE", f"{maps}/owner", {"propagationPolicy": "Foreground"})
    assert "foregroundDeletion" in answer.body["metadata"]["finalizers"]
    child = f"{maps}/child"
    eventually(
        lambda: "deletionTimestamp" in api_server.call("GET", child).body["metadata"],
        what="the dependent's deletion",
    )
    assert not gone(api_server, f"{maps}/owner")
    api_server.call("PATCH", child, {"metadata": {"finalizers": None}}, content=MERGE)
    eventually(lambda: gone(api_server, f"{maps}/owner"), what="the end of the owner")


def test_orphans_stay_and_forget_their_owner(api_server: ApiServer, maps: str) -> None:
    owner = make(api_server, maps, "owner")
    make(api_server, maps, "child", ownerReferences=owned(owner))
    api_server.call("DELETE", f"{maps}/owner", {"propagationPolicy": "Orphan"})
    eventually(lambda: gone(api_server, f"{maps}/owner"), what="the end of the owner")
    eventually(
        lambda: not api_server.call("GET", f"{maps}/child").body["metadata"].get("ownerReferences"),
        what="the orphan's freedom",
    )


def test_a_namespace_ends_with_everything_in_it(api_server: ApiServer) -> None:
    name = api_server.new_namespace()
    maps = f"/api/v1/namespaces/{name}/configmaps"
    make(api_server, maps, "one")
    answer = api_server.call("DELETE", f"/api/v1/namespaces/{name}")
    assert answer.body["status"]["phase"] == "Terminating"
    eventually(lambda: gone(api_server, f"/api/v1/namespaces/{name}"), what="the end of the namespace")
    assert gone(api_server, f"{maps}/one")


def test_nothing_new_is_created_in_a_namespace_that_ends(api_server: ApiServer) -> None:
    name = api_server.new_namespace()
    maps = f"/api/v1/namespaces/{name}/configmaps"
    make(api_server, maps, "holds", finalizers=["example.com/wait"])
    api_server.call("DELETE", f"/api/v1/namespaces/{name}")
    answer = api_server.call("POST", maps, {"metadata": {"name": "late"}})
    assert (answer.status, answer.body["reason"]) == (403, "Forbidden")
    assert "because it is being terminated" in answer.message
    api_server.call("PATCH", f"{maps}/holds", {"metadata": {"finalizers": None}}, content=MERGE)
    eventually(lambda: gone(api_server, f"/api/v1/namespaces/{name}"), what="the end of the namespace")


def test_a_pod_that_is_on_no_node_goes_at_once(api_server: ApiServer, own_namespace: str) -> None:
    pods = f"/api/v1/namespaces/{own_namespace}/pods"
    containers = [{"name": "main", "image": "registry.k8s.io/pause:3.10"}]
    body = {"metadata": {"name": "one"}, "spec": {"containers": containers, "schedulerName": "nobody"}}
    assert api_server.call("POST", pods, body).status == 201
    assert api_server.call("DELETE", f"{pods}/one").body["kind"] == "Pod"
    assert gone(api_server, f"{pods}/one")
