"""Why: a fault in the sandbox must show where it would show in a cluster, and end when it ends.

Each test looks before, during and after, with wide margins: the numbers are seeded, their exact
values no promise.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.twin_rig import Rig

DELAY = {"action": "delay", "delay": {"latency": "500ms", "jitter": "100ms", "correlation": "100"}}


@pytest.fixture
def rig() -> Rig:
    return Rig()


def calm(rig: Rig) -> bool:
    """Whether users are served quickly and without errors."""
    return rig.users("5..") == 0 and 15 < rig.users("200") < 25 and rig.p95("api-gateway") < 0.2


def test_an_undisturbed_platform_serves_its_users_quickly_and_without_errors(rig: Rig) -> None:
    assert calm(rig)
    assert set(rig.ask('avg by (service) (up{job="pyairtable-services"})').values()) == {1.0}
    assert rig.ask("pg_up")["postgres postgres-0"] == rig.ask("redis_up")["redis redis-0"] == 1.0


def test_latency_on_auth_shows_in_the_gateways_p95_and_goes_with_the_fault(rig: Rig) -> None:
    rig.inject("NetworkChaos", DELAY, rig.of("auth-service"))
    rig.wait(45)
    assert rig.p95("api-gateway") > 0.5
    assert rig.p95("platform-services") < 0.2
    rig.recover()
    rig.wait(60)
    assert calm(rig)


def test_latency_beyond_the_timeout_shows_as_retries_an_open_breaker_and_errors(rig: Rig) -> None:
    rig.inject("NetworkChaos", {"action": "delay", "delay": {"latency": "10s"}}, rig.of("auth-service"))
    rig.wait(30)
    to_auth = '{service="api-gateway",callee="auth-service"}'
    assert rig.value(f"sum(increase(http_client_retries_total{to_auth}[30s]))") > 5
    assert rig.value(f"sum(increase(http_client_timeouts_total{to_auth}[30s]))") > 5
    assert rig.value(f"max(max_over_time(circuit_breaker_state{to_auth}[30s]))") == 2
    assert rig.users("503|504") > 5
    rig.recover()
    rig.wait(75)
    assert calm(rig)
    assert rig.value(f"max(circuit_breaker_state{to_auth})") == 0


@pytest.mark.parametrize("direction", ["to", "from", "both"])
def test_a_partition_shows_as_errors_at_the_caller_whatever_its_direction(rig: Rig, direction: str) -> None:
    spec = {"action": "partition", "direction": direction}
    rig.inject("NetworkChaos", spec, rig.of("api-gateway"), peers=rig.of("auth-service"))
    rig.wait(30)
    assert rig.errors("api-gateway") > 5
    assert rig.value('sum(rate(http_requests_total{service="auth-service"}[15s]))') == 0
    assert rig.ask("up == 0") == {}
    rig.recover()
    rig.wait(60)
    assert calm(rig)


def test_a_partition_between_services_that_do_not_talk_is_not_noticed(rig: Rig) -> None:
    spec = {"action": "partition", "direction": "both"}
    rig.inject("NetworkChaos", spec, rig.of("auth-service"), peers=rig.of("platform-services"))
    rig.wait(30)
    assert calm(rig)


def test_a_delay_from_a_target_is_carried_by_the_target(rig: Rig) -> None:
    spec = {**DELAY, "direction": "from"}
    rig.inject("NetworkChaos", spec, rig.of("api-gateway"), peers=rig.of("auth-service"))
    rig.wait(30)
    assert calm(rig)
    rig.inject("NetworkChaos", spec, rig.of("auth-service"), peers=rig.of("api-gateway"), side=".Target")
    rig.wait(30)
    assert rig.p95("api-gateway") > 0.4
    assert rig.p95("auth-service") < 0.2


def test_a_pod_cut_off_from_everybody_is_down_for_prometheus_and_for_its_probes(rig: Rig) -> None:
    [pod, *_] = rig.of("platform-services")
    rig.inject("NetworkChaos", {"action": "partition"}, [pod])
    rig.wait(10)
    assert rig.twin.health(pod) == 0
    assert rig.ask('avg by (service) (up{service="platform-services"})')["platform-services"] < 0.7


def test_loss_is_latency_while_it_is_light_and_errors_when_it_is_heavy(rig: Rig) -> None:
    pods = rig.of("auth-service")
    rig.inject("NetworkChaos", {"action": "loss", "loss": {"loss": "15"}}, pods)
    rig.wait(30)
    light = rig.p95("api-gateway")
    assert light > 0.2
    assert rig.errors("api-gateway") < 0.5
    rig.recover()
    rig.inject("NetworkChaos", {"action": "loss", "loss": {"loss": "85"}}, pods)
    rig.wait(45)
    assert rig.p95("api-gateway") > light
    assert rig.errors("api-gateway") > 3


@pytest.mark.parametrize(
    ("spec", "slower"),
    [
        ({"action": "corrupt", "corrupt": {"corrupt": "20"}}, True),
        ({"action": "duplicate", "duplicate": {"duplicate": "50"}}, False),
        ({"action": "bandwidth", "bandwidth": {"rate": "200kbit", "limit": 20000, "buffer": 1000}}, True),
        ({"action": "bandwidth", "bandwidth": {"rate": "1gbit", "limit": 20000, "buffer": 1000}}, False),
    ],
)
def test_corruption_and_a_narrow_band_cost_time_and_duplicates_do_not(
    rig: Rig, spec: dict[str, Any], slower: bool
) -> None:
    rig.inject("NetworkChaos", spec, rig.of("auth-service"))
    rig.wait(30)
    assert (rig.p95("api-gateway") > 0.2) == slower


def test_a_slow_disk_under_postgres_exhausts_the_connection_pools(rig: Rig) -> None:
    spec = {
        "action": "latency",
        "delay": "2s",
        "volumePath": "/var/lib/postgresql/data",
        "path": "/var/lib/postgresql/data/**/*",
        "percent": 100,
    }
    rig.inject("IOChaos", spec, rig.of("postgres"))
    rig.wait(60)
    assert rig.value("max(max_over_time(db_pool_connections_in_use[1m]) / db_pool_connections_max)") == 1
    assert rig.value("sum(increase(db_pool_waits_total[1m]))") > 10
    assert rig.errors("platform-services") > 0.2
    assert rig.p95("api-gateway") > 1
    rig.recover()
    rig.wait(90)
    assert calm(rig)


def test_delay_on_postgres_slows_what_needs_the_database(rig: Rig) -> None:
    rig.inject("NetworkChaos", {"action": "delay", "delay": {"latency": "200ms"}}, rig.of("postgres"))
    rig.wait(30)
    assert rig.p95("platform-services") > 0.2
    assert rig.errors("api-gateway") == 0


def test_without_redis_every_look_up_is_a_query_to_postgres(rig: Rig) -> None:
    queries = "sum(rate(pg_stat_database_xact_commit[30s]))"
    before, quick = rig.value(queries), rig.p95("platform-services")
    [pod] = rig.of("redis")
    rig.twin.pod_gone(pod)
    rig.wait(30)
    assert rig.value(queries) > 2 * before
    assert rig.value("sum(rate(cache_hits_total[20s]))") == 0
    assert rig.p95("platform-services") > 1.5 * quick
    assert rig.users("5..") == 0
    rig.start("redis", 1)
    rig.wait(20)
    cold = rig.value(
        "sum(rate(redis_keyspace_hits_total[15s])) / sum(rate(redis_commands_processed_total[15s]))"
    )
    rig.wait(120)
    warm = rig.value(
        "sum(rate(redis_keyspace_hits_total[15s])) / sum(rate(redis_commands_processed_total[15s]))"
    )
    assert cold < warm - 0.1


def test_a_slow_redis_is_given_up_by_the_breakers(rig: Rig) -> None:
    rig.inject("NetworkChaos", {"action": "delay", "delay": {"latency": "2s"}}, rig.of("redis"))
    rig.wait(30)
    assert rig.value('min(circuit_breaker_state{callee="redis",service="platform-services"})') > 0
    assert rig.users("5..") == 0
    assert rig.twin.health(rig.of("redis")[0]) == 0


def test_a_dump_that_cannot_be_written_lets_the_cache_run_empty(rig: Rig) -> None:
    hits = "sum(rate(cache_hits_total[30s])) / sum(rate(redis_commands_processed_total[30s]))"
    before = rig.value(hits)
    spec = {"action": "fault", "errno": 5, "volumePath": "/data", "percent": 100, "methods": ["WRITE"]}
    rig.inject("IOChaos", spec, rig.of("redis"))
    rig.wait(120)
    assert rig.ask("redis_rdb_last_bgsave_status")["redis redis-0"] == 0
    assert rig.value(hits) < before - 0.2
    rig.recover()
    rig.wait(180)
    assert rig.value(hits) > before - 0.1


def test_cpu_stress_slows_the_pod_and_shows_in_its_cpu(rig: Rig) -> None:
    cpu = 'max(rate(container_cpu_usage_seconds_total{service="api-gateway"}[30s]))'
    before, idle = rig.p95("api-gateway"), rig.value(cpu)
    rig.inject("StressChaos", {"stressors": {"cpu": {"workers": 2, "load": 90}}}, rig.of("api-gateway"))
    rig.wait(45)
    assert rig.p95("api-gateway") > 1.5 * before
    assert idle < 0.2
    assert 0.9 < rig.value(cpu) < 1.2
    rig.recover()
    rig.wait(60)
    assert rig.value(cpu) < 0.2


def test_memory_stress_shows_and_beyond_the_limit_the_container_is_killed(rig: Rig) -> None:
    [pod, *_] = rig.of("platform-services")
    memory = f'max(container_memory_working_set_bytes{{pod="{pod.name}"}}) / 1024 / 1024'
    before = rig.value(memory)
    rig.inject("StressChaos", {"stressors": {"memory": {"workers": 1, "size": "256MB"}}}, [pod])
    rig.wait(10)
    assert rig.value(memory) == pytest.approx(before + 256, abs=20)
    assert rig.deaths == []
    rig.recover()
    rig.inject("StressChaos", {"stressors": {"memory": {"workers": 1, "size": "80%"}}}, [pod])
    rig.wait(10)
    assert rig.deaths == [(pod.name, "OOMKilled")]
    assert rig.twin.health(pod) == 0
    rig.twin.pod_started(pod)
    rig.twin.pod_ready(pod)
    rig.wait(10)
    assert rig.deaths == [(pod.name, "OOMKilled")]
    assert rig.value(memory) == pytest.approx(before, abs=20)


def test_a_full_disk_fails_the_writes_below_the_volume_and_no_others(rig: Rig) -> None:
    spec = {"action": "fault", "errno": 28, "volumePath": "/tmp", "percent": 25, "methods": ["WRITE"]}
    rig.inject("IOChaos", spec, rig.of("automation-services"))
    rig.wait(90)
    answered = 'sum(increase(http_requests_total{service="automation-services"%s}[90s]))'
    assert 0.1 < rig.value(answered % ',status="500"') / rig.value(answered % "") < 0.45
    assert rig.value('sum(rate(http_client_fallbacks_total{callee="automation-services"}[90s]))') > 0
    assert rig.users("5..") == 0
    rig.recover()
    rig.inject("IOChaos", {**spec, "volumePath": "/var/log"}, rig.of("automation-services"))
    rig.wait(60)
    assert rig.errors("automation-services") == 0


def test_a_clock_that_is_off_refuses_tokens_once_it_is_off_by_more_than_the_leeway(rig: Rig) -> None:
    rig.inject("TimeChaos", {"timeOffset": "-30s"}, rig.of("auth-service"))
    rig.wait(30)
    assert rig.users("401") == 0
    rig.recover()
    rig.inject("TimeChaos", {"timeOffset": "-10m"}, rig.of("auth-service"))
    rig.wait(30)
    assert 5 < rig.users("401") < 16
    assert rig.users("5..") == 0
    rig.recover()
    rig.inject("TimeChaos", {"timeOffset": "-10m", "clockIds": ["CLOCK_MONOTONIC"]}, rig.of("auth-service"))
    rig.wait(35)
    assert rig.users("401") == 0


def test_http_chaos_aborts_delays_and_replaces_on_the_port(rig: Rig) -> None:
    pods = rig.of("auth-service")
    on_port = {"target": "Request", "port": 8081, "path": "/validate"}
    rig.inject("HTTPChaos", {**on_port, "abort": True}, pods)
    rig.wait(30)
    assert rig.users("502|503") > 5
    assert rig.twin.health(pods[0]) == 200
    rig.recover()
    rig.inject("HTTPChaos", {**on_port, "path": "*", "delay": "700ms"}, pods)
    rig.wait(60)
    assert rig.p95("api-gateway") > 0.6
    assert rig.p95("auth-service") < 0.2
    rig.recover()
    replaced = {"target": "Response", "port": 8081, "path": "*", "replace": {"code": 404}}
    rig.inject("HTTPChaos", replaced, pods)
    rig.wait(45)
    assert rig.value('sum(rate(http_requests_total{service="api-gateway",status="404"}[30s]))') > 15
    assert rig.twin.health(pods[0]) == 404
    rig.recover()
    rig.inject("HTTPChaos", {**on_port, "port": 9999, "abort": True}, pods)
    rig.wait(45)
    assert calm(rig)


def test_names_that_do_not_resolve_fail_once_those_known_are_forgotten(rig: Rig) -> None:
    rig.inject("DNSChaos", {"action": "error", "patterns": ["auth-service.*"]}, rig.of("api-gateway"))
    rig.wait(1)
    assert rig.value('sum(increase(http_client_failures_total{callee="auth-service"}[30s]))') < 5
    rig.wait(44)
    assert rig.users("5..") > 10
    rig.recover()
    rig.wait(60)
    assert calm(rig)
    rig.inject("DNSChaos", {"action": "error", "patterns": ["example.*"]}, rig.of("api-gateway"))
    rig.wait(60)
    assert calm(rig)


@pytest.mark.parametrize("kind", ["JVMChaos", "KernelChaos", "PhysicalMachineChaos"])
def test_what_acts_below_the_model_does_nothing(rig: Rig, kind: str) -> None:
    rig.inject(kind, {"action": "latency", "latency": 5000}, rig.of("auth-service"))
    rig.wait(30)
    assert calm(rig)


def test_block_chaos_delays_the_disk(rig: Rig) -> None:
    spec = {"action": "delay", "delay": {"latency": "300ms"}}
    rig.inject("BlockChaos", spec, rig.of("postgres"))
    rig.wait(30)
    assert rig.p95("platform-services") > 0.3
