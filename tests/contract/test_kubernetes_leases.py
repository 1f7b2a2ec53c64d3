"""Leases: taken, renewed and lost by their revision, as a run's life is told from them."""

from __future__ import annotations

import pytest

from tests.contract import kubernetes_fixtures as fixtures
from tests.contract.kubernetes_fixtures import ApiServer, Json

api_server = fixtures.api_server
own_namespace = fixtures.own_namespace


def lease(name: str, holder: str = "a", seconds: int = 15) -> Json:
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": seconds},
    }


@pytest.fixture
def leases(own_namespace: str) -> str:
    return f"/apis/coordination.k8s.io/v1/namespaces/{own_namespace}/leases"


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
