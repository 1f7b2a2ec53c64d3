"""The sandbox's API server can be told to misbehave, and counts what it is asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import pytest
import urllib3

from tests.contract import kubernetes_fixtures as fixtures
from tests.contract.kubernetes_fixtures import NAMESPACE, ApiServer, eventually

sandbox_server = fixtures.sandbox_server

PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"


@pytest.fixture
def api(sandbox_server: ApiServer) -> Iterator[ApiServer]:
    """The sandbox's server, its levers put back afterwards."""
    yield sandbox_server
    sandbox_server.lever("/", method="DELETE")


def test_the_next_calls_fail_and_the_one_after_them_works(api: ApiServer) -> None:
    api.lever("/fail", {"method": "GET", "path": "/pods$", "status": 503, "next": 2})
    statuses = [api.call("GET", PODS).status for _ in range(3)]
    assert statuses == [503, 503, 200]


def test_a_failure_is_a_status_object_with_its_reason(api: ApiServer) -> None:
    api.lever("/fail", {"status": 429, "message": "too much", "next": 1})
    body = api.call("GET", PODS).body
    assert (body["reason"], body["message"], body["code"]) == ("TooManyRequests", "too much", 429)


def test_only_calls_that_match_fail(api: ApiServer) -> None:
    api.lever("/fail", {"method": "POST|PATCH", "path": "configmaps", "status": 500})
    maps = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
    assert api.call("GET", maps).status == 200
    assert api.call("POST", maps, {"metadata": {"name": "x"}}).status == 500


def test_a_share_of_the_calls_fails(api: ApiServer) -> None:
    api.lever("/fail", {"share": 0.5, "status": 500, "path": "/pods"})
    failed = sum(api.call("GET", PODS).status == 500 for _ in range(60))
    assert 10 < failed < 50


def test_a_lever_that_makes_no_sense_is_refused(api: ApiServer) -> None:
    assert api.call("POST", "/fail", {"status": 200}, url=api.control).status == 422
    assert api.call("POST", "/fail", {"pth": "x"}, url=api.control).status == 422


def test_a_stalled_call_waits_until_it_is_released(api: ApiServer) -> None:
    api.lever("/stall", {"path": "/pods"})
    answers: list[int] = []
    caller = threading.Thread(target=lambda: answers.append(api.call("GET", PODS).status))
    caller.start()
    assert api.call("GET", "/api/v1/nodes").status == 200
    assert answers == []
    api.lever("/release")
    caller.join()
    assert answers == [200]


def test_a_stall_can_be_bounded(api: ApiServer) -> None:
    api.lever("/stall", {"path": "/pods", "seconds": 0.05, "next": 1})
    assert api.call("GET", PODS).status == 200


def test_a_forbidden_verb_is_refused_and_reviewed_as_not_allowed(api: ApiServer) -> None:
    api.lever("/forbid", {"verbs": ["list"], "resources": ["pods"]})
    answer = api.call("GET", PODS)
    assert (answer.status, answer.body["reason"]) == (403, "Forbidden")
    assert answer.message == (
        'pods is forbidden: User "gameday" cannot list resource "pods" in API group "" in the namespace'
        f' "{NAMESPACE}"'
    )

    def review(verb: str) -> bool:
        attributes = {"verb": verb, "resource": "pods", "namespace": NAMESPACE}
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        body = {"kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": attributes}}
        return bool(api.call("POST", path, body).body["status"]["allowed"])

    assert (review("list"), review("get")) == (False, True)


def test_forbidding_can_be_limited_to_a_namespace(api: ApiServer) -> None:
    api.lever("/forbid", {"resources": ["configmaps"], "namespace": "kube-system"})
    assert api.call("GET", "/api/v1/namespaces/kube-system/configmaps").status == 403
    assert api.call("GET", f"/api/v1/namespaces/{NAMESPACE}/configmaps").status == 200


@pytest.mark.parametrize("abrupt", [False, True])
def test_open_watches_can_be_dropped(api: ApiServer, *, abrupt: bool) -> None:
    url = f"{api.configuration.host}{PODS}?watch=true"
    with urllib3.PoolManager() as pool:
        response = pool.request("GET", url, preload_content=False)
        assert json.loads(response.readline())["type"] == "ADDED"
        assert api.lever("/watches/drop", {"abrupt": abrupt}).body["dropped"] >= 1
        if abrupt:
            with pytest.raises(urllib3.exceptions.HTTPError):
                response.read()
        else:
            response.read()
        response.close()


def test_a_watch_from_a_forgotten_revision_is_told_410(api: ApiServer) -> None:
    revision = api.call("GET", PODS).body["metadata"]["resourceVersion"]
    api.lever("/compact")
    (event,) = api.watch(f"{PODS}?watch=true&resourceVersion={revision}&timeoutSeconds=5")
    assert event["type"] == "ERROR"
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")


def test_calls_are_counted_by_verb_and_resource(api: ApiServer) -> None:
    api.lever("/calls", method="DELETE")
    api.call("GET", PODS)
    api.call("GET", f"{PODS}/none")
    api.call("DELETE", f"/apis/chaos-mesh.org/v1alpha1/namespaces/{NAMESPACE}/podchaos")
    counted = api.lever("/calls", method="GET").body
    assert counted["calls"] == {"deletecollection": {"podchaos": 1}, "get": {"pods": 1}, "list": {"pods": 1}}
    assert counted["statuses"] == {"200": 2, "404": 1}
    assert counted["total"] == 3


def test_objects_are_created_in_bulk(api: ApiServer) -> None:
    body = {
        "apiVersion": "chaos-mesh.org/v1alpha1",
        "kind": "TimeChaos",
        "metadata": {"name": "bulk", "namespace": "chaos-engineering"},
        "spec": {"mode": "all", "selector": {"labelSelectors": {"none": "x"}}, "timeOffset": "-1h"},
    }
    assert api.lever("/objects", {"object": body, "count": 300}).body == {"created": 300}
    path = "/apis/chaos-mesh.org/v1alpha1/namespaces/chaos-engineering/timechaos"
    assert len(api.call("GET", path).body["items"]) == 300
    api.call("DELETE", path)
    eventually(lambda: not api.call("GET", path).body["items"], what="their end")


def test_a_container_can_be_killed(api: ApiServer) -> None:
    pod = api.call("GET", f"{PODS}?labelSelector=app%3Dredis").body["items"][0]["metadata"]["name"]
    killed = api.lever("/kill", {"namespace": NAMESPACE, "pod": pod, "reason": "OOMKilled"})
    assert killed.body == {"killed": True}
    eventually(
        lambda: api.call("GET", f"{PODS}/{pod}").body["status"]["containerStatuses"][0]["restartCount"] == 1,
        what="the restart",
    )


def test_levers_show_how_they_stand_and_can_all_be_put_back(api: ApiServer) -> None:
    api.lever("/fail", {"status": 500, "path": "/nodes"})
    api.lever("/controller", {"down": True})
    api.lever("/hang", {"kind": "NetworkChaos"})
    state = api.lever("/", method="GET").body
    assert (len(state["failing"]), state["controllerDown"], state["hanging"][0]["kind"]) == (
        1,
        True,
        "NetworkChaos",
    )
    state = api.lever("/", method="DELETE").body
    assert (state["failing"], state["controllerDown"], state["hanging"]) == ([], False, [])


def test_a_service_is_asked_for_its_health_through_the_api_server(api: ApiServer) -> None:
    for name in ("api-gateway:8080", "api-gateway", "http:api-gateway:8080", "api-gateway:main"):
        answer = api.call("GET", f"/api/v1/namespaces/{NAMESPACE}/services/{name}/proxy/health")
        assert (answer.status, answer.body) == (200, "ok")
    assert (
        api.call("GET", f"/api/v1/namespaces/{NAMESPACE}/services/api-gateway:1/proxy/health").status == 503
    )
    assert api.call("GET", f"/api/v1/namespaces/{NAMESPACE}/services/api-gateway/proxy/other").status == 404
    assert api.call("GET", f"/api/v1/namespaces/{NAMESPACE}/services/none/proxy/health").status == 404


def test_a_pod_is_asked_for_its_health_through_the_api_server(api: ApiServer) -> None:
    pod = api.call("GET", f"{PODS}?labelSelector=app%3Dauth-service").body["items"][0]["metadata"]["name"]
    assert api.call("GET", f"{PODS}/{pod}:8081/proxy/health").status == 200


def test_a_service_without_ready_pods_is_unavailable(api: ApiServer) -> None:
    services = f"/api/v1/namespaces/{NAMESPACE}/services"
    body = {"metadata": {"name": "empty"}, "spec": {"selector": {"app": "nobody"}, "ports": [{"port": 80}]}}
    api.call("POST", services, body)
    answer = api.call("GET", f"{services}/empty/proxy/health")
    assert (answer.status, answer.message) == (503, 'no endpoints available for service "empty"')
    api.call("DELETE", f"{services}/empty")


def test_the_log_of_a_pod_is_text(api: ApiServer) -> None:
    pod = api.call("GET", f"{PODS}?labelSelector=app%3Dpostgres").body["items"][0]["metadata"]["name"]
    answer = api.call("GET", f"{PODS}/{pod}/log")
    assert (answer.status, "postgres started" in answer.body) == (200, True)
    assert api.call("GET", f"{PODS}/{pod}/log?container=none").status == 400
