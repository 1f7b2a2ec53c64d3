"""Custom resources: served while their definition is there, and judged by its schema."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract import kubernetes_fixtures as fixtures
from tests.contract.kubernetes_fixtures import ApiServer, Json, eventually

api_server = fixtures.api_server
own_namespace = fixtures.own_namespace

GROUP = "contract.gameday.example.com"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
MERGE = "application/merge-patch+json"


def definition() -> Json:
    spec = {
        "type": "object",
        "required": ["mode"],
        "properties": {
            "mode": {"type": "string", "enum": ["one", "all"]},
            "count": {"type": "integer"},
            "names": {"type": "array", "items": {"type": "string"}},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        },
    }
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"type": "object", "required": ["spec"], "properties": {"spec": spec, "status": free}}
    version = {"name": "v1alpha1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
            "versions": [version],
        },
    }


@pytest.fixture(scope="module")
def widgets_served(api_server: ApiServer) -> Iterator[None]:
    """The definition of widgets, while this module runs."""
    assert api_server.call("POST", DEFINITIONS, definition()).status == 201
    path = f"/apis/{GROUP}/v1alpha1/widgets"
    eventually(lambda: api_server.call("GET", path).status == 200, what="the service of widgets")
    yield
    api_server.call("DELETE", f"{DEFINITIONS}/widgets.{GROUP}")


@pytest.fixture
def widgets(widgets_served: None, own_namespace: str) -> str:
    return f"/apis/{GROUP}/v1alpha1/namespaces/{own_namespace}/widgets"


def widget(name: str, **spec: object) -> Json:
    return {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": "Widget",
        "metadata": {"name": name},
        "spec": {"mode": "one", **spec},
    }


def test_a_definition_says_when_it_is_established(api_server: ApiServer, widgets: str) -> None:
    read = api_server.call("GET", f"{DEFINITIONS}/widgets.{GROUP}").body
    conditions = {entry["type"]: entry["status"] for entry in read["status"]["conditions"]}
    assert (conditions["Established"], conditions["NamesAccepted"]) == ("True", "True")


def test_discovery_tells_of_a_custom_resource(api_server: ApiServer, widgets: str) -> None:
    groups = api_server.call("GET", "/apis").body["groups"]
    assert GROUP in {group["name"] for group in groups}
    listed = api_server.call("GET", f"/apis/{GROUP}/v1alpha1").body["resources"]
    assert [(r["name"], r["kind"], r["namespaced"]) for r in listed] == [("widgets", "Widget", True)]


def test_a_custom_object_is_created_and_read(api_server: ApiServer, widgets: str) -> None:
    made = api_server.call("POST", widgets, widget("one", count=2, labels={"a": "b"}))
    assert (made.status, made.body["spec"]) == (201, {"mode": "one", "count": 2, "labels": {"a": "b"}})
    assert api_server.call("GET", f"{widgets}/one").body == made.body


def test_a_custom_object_must_say_its_kind(api_server: ApiServer, widgets: str) -> None:
    assert (
        api_server.call("POST", widgets, {"metadata": {"name": "one"}, "spec": {"mode": "one"}}).status == 400
    )


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"mode": "some"}, 'spec.mode: Unsupported value: "some": supported values: "one", "all"'),
        ({"count": "two"}, 'must be of type integer: "string"'),
        ({"names": "x"}, 'must be of type array: "string"'),
        ({"names": [1]}, "must be of type string"),
        ({"labels": {"a": 1}}, "must be of type string"),
    ],
)
def test_a_custom_object_that_breaks_its_schema_is_invalid(
    api_server: ApiServer, widgets: str, spec: Json, told: str
) -> None:
    answer = api_server.call("POST", widgets, widget("one", **spec))
    assert (answer.status, answer.body["reason"]) == (422, "Invalid")
    assert told in answer.message


def test_a_required_field_of_a_custom_object_must_be_there(api_server: ApiServer, widgets: str) -> None:
    body = widget("one")
    del body["spec"]["mode"]
    answer = api_server.call("POST", widgets, body)
    assert answer.status == 422
    assert "spec.mode: Required value" in answer.message


def test_unknown_fields_of_a_custom_object_are_dropped_or_refused(
    api_server: ApiServer, widgets: str
) -> None:
    strict = api_server.call("POST", f"{widgets}?fieldValidation=Strict", widget("one", cuont=2))
    assert strict.status == 400
    assert 'unknown field "spec.cuont"' in strict.message
    lax = api_server.call("POST", widgets, widget("one", cuont=2))
    assert (lax.status, lax.body["spec"]) == (201, {"mode": "one"})


def test_a_strategic_patch_of_a_custom_object_is_unsupported(api_server: ApiServer, widgets: str) -> None:
    api_server.call("POST", widgets, widget("one"))
    content = "application/strategic-merge-patch+json"
    answer = api_server.call("PATCH", f"{widgets}/one", {"spec": {"count": 1}}, content=content)
    assert (answer.status, answer.body["reason"]) == (415, "UnsupportedMediaType")


def test_a_custom_object_cannot_be_replaced_without_its_revision(api_server: ApiServer, widgets: str) -> None:
    api_server.call("POST", widgets, widget("one"))
    answer = api_server.call("PUT", f"{widgets}/one", widget("one", count=1))
    assert answer.status == 422
    assert "metadata.resourceVersion: Invalid value: 0x0: must be specified for an update" in answer.message


def test_a_custom_object_is_patched_by_merge_and_by_operations(api_server: ApiServer, widgets: str) -> None:
    api_server.call("POST", widgets, widget("one"))
    merged = api_server.call("PATCH", f"{widgets}/one", {"spec": {"count": 1}}, content=MERGE)
    assert merged.body["spec"] == {"mode": "one", "count": 1}
    operations = [{"op": "replace", "path": "/spec/mode", "value": "all"}]
    patched = api_server.call("PATCH", f"{widgets}/one", operations, content="application/json-patch+json")
    assert patched.body["spec"] == {"mode": "all", "count": 1}


def test_a_patch_must_not_break_the_schema(api_server: ApiServer, widgets: str) -> None:
    api_server.call("POST", widgets, widget("one"))
    assert api_server.call("PATCH", f"{widgets}/one", {"spec": {"mode": None}}, content=MERGE).status == 422


def test_without_a_status_subresource_the_status_is_a_field_like_others(
    api_server: ApiServer, widgets: str
) -> None:
    api_server.call("POST", widgets, widget("one"))
    assert (
        api_server.call("PATCH", f"{widgets}/one/status", {"status": {"a": 1}}, content=MERGE).status == 404
    )
    patched = api_server.call("PATCH", f"{widgets}/one", {"status": {"a": 1}}, content=MERGE)
    assert patched.body["status"] == {"a": 1}


def test_custom_objects_can_be_selected_by_label_and_deleted_together(
    api_server: ApiServer, widgets: str
) -> None:
    for name in ("one", "two", "three"):
        body = widget(name)
        body["metadata"]["labels"] = {"keep": "yes" if name == "three" else "no"}
        api_server.call("POST", widgets, body)
    answer = api_server.call("DELETE", f"{widgets}?labelSelector=keep%3Dno")
    assert (answer.status, answer.body["kind"]) == (200, "WidgetList")
    left = api_server.call("GET", widgets).body["items"]
    assert [item["metadata"]["name"] for item in left] == ["three"]


def test_no_field_of_a_custom_object_can_be_selected_on(api_server: ApiServer, widgets: str) -> None:
    assert api_server.call("GET", f"{widgets}?fieldSelector=spec.mode%3Done").status == 400


def test_a_definition_is_named_after_its_resource(api_server: ApiServer) -> None:
    body = definition()
    body["metadata"]["name"] = "wrong"
    assert api_server.call("POST", DEFINITIONS, body).status == 422
