"""Finding objects and following them: lists, selectors, pages, watches."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from tests.contract import kubernetes_fixtures as fixtures
from tests.contract.kubernetes_fixtures import ApiServer

api_server = fixtures.api_server
own_namespace = fixtures.own_namespace


@pytest.fixture
def maps(api_server: ApiServer, own_namespace: str) -> str:
    """A namespace with ConfigMaps a, b and c, of which c has no label ``app``."""
    path = f"/api/v1/namespaces/{own_namespace}/configmaps"
    for name, labels in (
        ("a", {"app": "web", "tier": "front"}),
        ("b", {"app": "db", "tier": "back"}),
        ("c", {"tier": "back"}),
    ):
        assert api_server.call("POST", path, {"metadata": {"name": name, "labels": labels}}).status == 201
    return path


def names(api: ApiServer, path: str) -> list[str]:
    answer = api.call("GET", path)
    assert answer.status == 200, answer.body
    # Real clusters put a ConfigMap of their own into every namespace.
    found = [item["metadata"]["name"] for item in answer.body["items"]]
    return [name for name in found if name != "kube-root-ca.crt"]


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("app=web", "a"),
        ("app==web", "a"),
        ("app!=web", "bc"),
        ("app", "ab"),
        ("!app", "c"),
        ("app in (web, db)", "ab"),
        ("app notin (web)", "bc"),
        ("tier=back,app", "b"),
        ("app in (web),tier in (front)", "a"),
        ("app=", ""),
        ("none=x", ""),
    ],
)
def test_label_selectors_choose(api_server: ApiServer, maps: str, selector: str, expected: str) -> None:
    assert names(api_server, f"{maps}?labelSelector={quote(selector)}") == list(expected)


@pytest.mark.parametrize(
    "selector",
    [
        "app=web,",
        "app in web",
        "app in (",
        "=web",
        "app=(web)",
        "a b",
        "app in ()",
        "x=-bad-",
        "!",
        "app ~ x",
    ],
)
def test_a_label_selector_that_cannot_be_read_is_a_bad_request(
    api_server: ApiServer,
    maps: str,
    selector: str,
) -> None:
    answer = api_server.call("GET", f"{maps}?labelSelector={quote(selector)}")
    assert (answer.status, answer.body["reason"]) == (400, "BadRequest")


def test_field_selectors_choose_by_name(api_server: ApiServer, maps: str) -> None:
    assert names(api_server, f"{maps}?fieldSelector=metadata.name=b") == ["b"]
    assert names(api_server, f"{maps}?fieldSelector=metadata.name!=b") == ["a", "c"]


@pytest.mark.parametrize("selector", ["data.x=y", "metadata.name", "spec.nodeName=n"])
def test_a_field_that_cannot_be_selected_on_is_a_bad_request(
    api_server: ApiServer,
    maps: str,
    selector: str,
) -> None:
    assert api_server.call("GET", f"{maps}?fieldSelector={selector}").status == 400


def test_pods_can_be_selected_by_node_and_phase(api_server: ApiServer) -> None:
    pods = api_server.call("GET", "/api/v1/pods?fieldSelector=status.phase=Running").body["items"]
    node = pods[0]["spec"]["nodeName"]
    found = api_server.call("GET", f"/api/v1/pods?fieldSelector=spec.nodeName={node}").body["items"]
    assert found
    assert {pod["spec"]["nodeName"] for pod in found} == {node}


def test_a_list_has_a_revision_and_is_in_order_of_names(api_server: ApiServer, maps: str) -> None:
    answer = api_server.call("GET", maps).body
    assert (answer["kind"], answer["apiVersion"]) == ("ConfigMapList", "v1")
    assert int(answer["metadata"]["resourceVersion"]) > 0
    listed = [item["metadata"]["name"] for item in answer["items"]]
    assert listed == sorted(listed)


def test_a_list_can_be_read_page_by_page(api_server: ApiServer, maps: str) -> None:
    path = f"{maps}?labelSelector=tier&limit=2"
    first = api_server.call("GET", path).body
    assert [item["metadata"]["name"] for item in first["items"]] == ["a", "b"]
    token = quote(first["metadata"]["continue"])
    second = api_server.call("GET", f"{path}&continue={token}").body
    assert [item["metadata"]["name"] for item in second["items"]] == ["c"]
    assert "continue" not in second["metadata"]


def test_how_much_remains_is_told_where_nothing_is_filtered(api_server: ApiServer, maps: str) -> None:
    whole = len(api_server.call("GET", maps).body["items"])
    assert api_server.call("GET", f"{maps}?limit=1").body["metadata"]["remainingItemCount"] == whole - 1


def test_a_continue_token_that_is_none_is_a_bad_request(api_server: ApiServer, maps: str) -> None:
    assert api_server.call("GET", f"{maps}?limit=1&continue=nonsense").status == 400


def test_an_empty_list_is_a_list(api_server: ApiServer, own_namespace: str) -> None:
    answer = api_server.call("GET", f"/api/v1/namespaces/{own_namespace}/secrets")
    assert (answer.status, answer.body["items"]) == (200, [])


def test_a_namespace_that_is_not_there_has_an_empty_list(api_server: ApiServer) -> None:
    answer = api_server.call("GET", "/api/v1/namespaces/nowhere-at-all/pods")
    assert (answer.status, answer.body["items"]) == (200, [])


def test_a_watch_tells_what_is_there_then_ends_by_its_timeout(api_server: ApiServer, maps: str) -> None:
    events = api_server.watch(f"{maps}?watch=true&timeoutSeconds=1&labelSelector=tier")
    assert {(event["type"], event["object"]["metadata"]["name"]) for event in events} == {
        ("ADDED", "a"),
        ("ADDED", "b"),
        ("ADDED", "c"),
    }


def test_a_watch_from_a_revision_tells_what_came_after_it(api_server: ApiServer, maps: str) -> None:
    revision = api_server.call("GET", maps).body["metadata"]["resourceVersion"]
    api_server.call("POST", maps, {"metadata": {"name": "d"}})
    merge = "application/merge-patch+json"
    api_server.call("PATCH", f"{maps}/d", {"data": {"x": "y"}}, content=merge)
    api_server.call("DELETE", f"{maps}/d")
    events = api_server.watch(
        f"{maps}?watch=true&timeoutSeconds=1&resourceVersion={revision}&fieldSelector=metadata.name=d"
    )
    assert [event["type"] for event in events] == ["ADDED", "MODIFIED", "DELETED"]
    revisions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
    assert revisions == sorted(revisions)
    assert revisions[0] > int(revision)


def test_an_object_that_leaves_a_selection_is_told_as_deleted(api_server: ApiServer, maps: str) -> None:
    revision = api_server.call("GET", maps).body["metadata"]["resourceVersion"]
    merge = "application/merge-patch+json"
    api_server.call("PATCH", f"{maps}/a", {"metadata": {"labels": {"app": "other"}}}, content=merge)
    api_server.call("PATCH", f"{maps}/c", {"metadata": {"labels": {"app": "web"}}}, content=merge)
    path = f"{maps}?watch=true&timeoutSeconds=1&labelSelector=app%3Dweb&resourceVersion={revision}"
    told = [(event["type"], event["object"]["metadata"]["name"]) for event in api_server.watch(path)]
    assert told == [("DELETED", "a"), ("ADDED", "c")]


def test_a_streaming_list_ends_its_beginning_with_a_bookmark(api_server: ApiServer, maps: str) -> None:
    path = (
        f"{maps}?watch=true&timeoutSeconds=1&sendInitialEvents=true&allowWatchBookmarks=true"
        "&resourceVersionMatch=NotOlderThan&labelSelector=tier"
    )
    events = api_server.watch(path)
    assert [event["type"] for event in events[:3]] == ["ADDED"] * 3
    assert events[3]["type"] == "BOOKMARK"
    assert events[3]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


def test_a_watch_takes_selectors_to_heart_too(api_server: ApiServer, maps: str) -> None:
    assert api_server.call("GET", f"{maps}?watch=true&labelSelector=a%20b").status == 400


def test_a_single_object_can_be_watched_by_its_name(api_server: ApiServer, maps: str) -> None:
    events = api_server.watch(f"{maps}?watch=true&timeoutSeconds=1&fieldSelector=metadata.name%3Db")
    assert [event["object"]["metadata"]["name"] for event in events] == ["b"]


def test_a_list_as_a_table_has_columns_and_rows(api_server: ApiServer, maps: str) -> None:
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    table = api_server.call("GET", f"{maps}?labelSelector=tier", accept=accept).body
    assert table["kind"] == "Table"
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert [row["cells"][0] for row in table["rows"]] == ["a", "b", "c"]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"


def test_lists_of_pods_as_tables_tell_how_they_do(api_server: ApiServer) -> None:
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
    table = api_server.call("GET", "/api/v1/namespaces/kube-system/pods", accept=accept).body
    titles = [column["name"] for column in table["columnDefinitions"] if not column["priority"]]
    assert titles == ["Name", "Ready", "Status", "Restarts", "Age"]


def test_a_revision_of_the_future_is_told_to_wait_for(api_server: ApiServer, maps: str) -> None:
    answer = api_server.call("GET", f"{maps}?resourceVersion=999999999999")
    assert answer.status == 504
    assert "Too large resource version" in json.dumps(answer.body)
