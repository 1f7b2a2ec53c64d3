"""Why: pods come and go, and what that does to requests is half of what chaos experiments show."""

from __future__ import annotations

import pytest

from gameday.spec.platform import Platform
from sandbox.wiring import PodRef
from tests.unit.twin_rig import NAMESPACE, Rig, declared


def test_a_killed_pod_loses_what_it_was_answering_and_the_callers_try_another() -> None:
    rig = Rig()
    for pod in rig.of("auth-service")[:2]:
        rig.twin.pod_gone(pod)
    rig.wait(6)
    to_auth = '{service="api-gateway",callee="auth-service"}'
    assert rig.value(f"sum(increase(http_client_failures_total{to_auth}[30s]))") >= 3
    assert rig.value(f"sum(increase(http_client_retries_total{to_auth}[30s]))") >= 3
    lost = rig.users("5..")
    rig.wait(40)
    assert lost < 1
    assert rig.users("5..") == 0
    assert rig.value('count(up{service="auth-service"} == 1)') == 1


def test_the_others_take_over_what_a_lost_pod_served() -> None:
    rig = Rig()
    gone, *left = rig.of("platform-services")
    share = f'sum(rate(http_requests_total{{pod="{left[0].name}"}}[20s]))'
    before = rig.value(share)
    rig.twin.pod_gone(gone)
    rig.wait(30)
    assert rig.value(share) > 1.2 * before


def test_without_any_pod_of_a_service_its_callers_answer_errors_until_it_is_back() -> None:
    rig = Rig()
    for pod in rig.of("platform-services"):
        rig.twin.pod_gone(pod)
    rig.wait(30)
    assert rig.errors("api-gateway") > 5
    assert rig.ask('up{service="platform-services"}') == {}
    for index in range(3, 6):
        rig.start("platform-services", index)
    rig.wait(75)
    assert rig.users("5..") == 0
    assert rig.ask('avg by (service) (up{service="platform-services"})') == {"platform-services": 1.0}


def test_a_pod_that_is_taken_out_of_the_endpoints_first_loses_nothing() -> None:
    rig = Rig()
    pod = rig.of("api-gateway")[0]
    rig.twin.pod_unready(pod)
    rig.wait(5)
    rig.twin.pod_gone(pod)
    rig.wait(20)
    assert rig.users("5..") == 0


def test_a_pod_that_is_starting_is_down_for_prometheus_and_gets_no_traffic() -> None:
    rig = Rig()
    pod = PodRef(NAMESPACE, "auth-service-9", "auth-service", "auth-service", "10.0.9.9")
    rig.twin.pod_started(pod)
    rig.wait(10)
    assert rig.ask('up{pod="auth-service-9"}') == {"auth-service auth-service-9": 0.0}
    assert rig.twin.health(pod) == 200
    rig.twin.pod_ready(pod)
    rig.wait(10)
    assert rig.ask('up{pod="auth-service-9"}') == {"auth-service auth-service-9": 1.0}
    assert rig.value('sum(http_requests_total{pod="auth-service-9"})') > 0


def test_every_series_that_can_occur_is_there_at_zero_from_a_pods_first_scrape() -> None:
    rig = Rig()
    rig.start("api-gateway", 7)
    rig.wait(5)
    fresh = '{pod="api-gateway-7",route="/api/v1/login"}'
    assert set(rig.ask(f"http_requests_total{fresh}")) == {
        f"api-gateway api-gateway-7 {status}" for status in (200, 401, 500, 502, 503, 504)
    }
    assert rig.value('count(circuit_breaker_state{pod="api-gateway-7"} == 0)') == 5


def test_a_container_that_starts_again_begins_with_empty_counters_and_keeps_its_network_faults() -> None:
    rig = Rig()
    pod = rig.of("auth-service")[0]
    delay = {"action": "delay", "delay": {"latency": "3s"}}
    rig.inject("NetworkChaos", delay, [pod])
    counted = f'sum(http_requests_total{{pod="{pod.name}"}})'
    before = rig.value(counted)
    rig.twin.pod_started(pod)
    rig.twin.pod_ready(pod)
    rig.wait(5)
    assert rig.value(counted) < before
    assert rig.twin.health(pod) == 0
    rig.recover()
    assert rig.twin.health(pod) == 200


def test_a_container_that_crashed_is_down_for_prometheus_until_it_is_started_again() -> None:
    rig = Rig()
    pod = rig.of("auth-service")[0]
    rig.twin.pod_crashed(pod)
    rig.wait(10)
    assert rig.ask(f'up{{pod="{pod.name}"}}') == {f"auth-service {pod.name}": 0.0}
    assert rig.twin.health(pod) == 0
    rig.twin.pod_started(pod)
    rig.twin.pod_ready(pod)
    rig.wait(10)
    assert rig.ask(f'up{{pod="{pod.name}"}}') == {f"auth-service {pod.name}": 1.0}


def test_a_pod_that_fails_answers_nobody_and_starts_anew_when_the_fault_ends() -> None:
    rig = Rig()
    pod = rig.of("automation-services")[0]
    rig.inject("PodChaos", {"action": "pod-failure"}, [pod])
    rig.wait(10)
    assert rig.twin.health(pod) == 0
    assert rig.ask('avg by (service) (up{service="automation-services"})') == {"automation-services": 0.5}
    rig.recover()
    rig.wait(10)
    assert rig.twin.health(pod) == 200
    assert rig.ask('avg by (service) (up{service="automation-services"})') == {"automation-services": 1.0}
    assert rig.value(f'sum(rate(http_requests_total{{pod="{pod.name}"}}[10s]))') > 0


def test_a_container_that_is_killed_says_so() -> None:
    rig = Rig()
    pod = rig.of("auth-service")[0]
    rig.inject("PodChaos", {"action": "container-kill", "containerNames": ["auth-service"]}, [pod])
    assert rig.deaths == [(pod.name, "Error")]
    assert rig.twin.health(pod) == 0


def test_pods_that_the_platform_does_not_know_and_faults_that_are_over_are_ignored() -> None:
    rig = Rig()
    stranger = PodRef(NAMESPACE, "job-1", "")
    elsewhere = PodRef("pyairtable", "auth-service-0", "auth-service")
    for pod in (stranger, elsewhere):
        rig.twin.pod_started(pod)
        rig.twin.pod_ready(pod)
        rig.twin.pod_unready(pod)
        rig.inject("StressChaos", {"stressors": {"cpu": {"workers": 1}}}, [pod])
        assert rig.twin.health(pod) == 0
        rig.twin.pod_gone(pod)
    rig.twin.recover("never injected")
    rig.wait(10)
    assert rig.users("200") > 15


def test_the_same_seed_gives_the_same_samples_and_another_seed_others() -> None:
    def run(seed: int) -> str:
        rig = Rig(seed=seed)
        rig.inject(
            "NetworkChaos", {"action": "loss", "loss": {"loss": "30"}}, rig.of("platform-services")[:1]
        )
        rig.wait(20)
        rig.twin.pod_gone(rig.of("auth-service")[0])
        rig.recover()
        rig.wait(20)
        return rig.digest()

    first = run(5)
    assert run(5) == first
    assert run(6) != first


@pytest.mark.parametrize("keeps", [True, False])
def test_a_database_comes_back_with_its_data_or_where_it_keeps_none_without(keeps: bool) -> None:
    plain = declared().model_dump(mode="json", by_alias=True)
    (postgres,) = [one for one in plain["services"] if one["name"] == "postgres"]
    postgres["twin"]["keepsData"] = keeps
    rig = Rig(platform=Platform.model_validate(plain))
    size = "sum(pg_database_size_bytes)"
    before = rig.value(size)
    rig.twin.pod_gone(rig.of("postgres")[0])
    rig.start("postgres", 0)
    rig.wait(60)
    assert (rig.value(size) == before) is keeps
    assert (rig.errors("platform-services") > 0.5) is not keeps


def test_a_platform_without_twin_blocks_is_imitated_by_who_calls_whom() -> None:
    plain = declared().model_dump(mode="json", by_alias=True)
    for service in plain["services"]:
        kind = service["twin"]["kind"]
        service["twin"] = {"kind": kind}
    rig = Rig(platform=Platform.model_validate(plain))
    assert rig.users("200") > 15
    for pod in rig.of("automation-services"):
        rig.twin.pod_gone(pod)
    rig.wait(30)
    assert rig.errors("api-gateway") > 10


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"routes": [{"path": "/", "steps": [{"call": "auth-service", "path": "/nothing"}]}]},
            "no route /nothing",
        ),
        ({"routes": [{"path": "/", "steps": [{"call": "nobody", "path": "/"}]}]}, "no service nobody"),
    ],
)
def test_a_twin_block_that_names_what_is_not_there_is_refused(change: dict[str, object], words: str) -> None:
    plain = declared().model_dump(mode="json", by_alias=True)
    plain["services"][0]["twin"] = change
    with pytest.raises(ValueError, match=words):
        Rig(platform=Platform.model_validate(plain))
