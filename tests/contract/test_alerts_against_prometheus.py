"""The sandbox raises the alerts that Prometheus raises: the same rules over the same samples.

``promtool`` evaluates rules with Prometheus's own code, at the very moments that it is told, so that
every step from pending to firing and back can be compared. What the API shows is asked of a running one.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from sandbox.prometheus.alerting import Alerting
from sandbox.prometheus.labels import NAME, Labels
from sandbox.prometheus.promql.engine import Engine, VectorResult
from sandbox.prometheus.promql.values import format_value
from sandbox.prometheus.rulefile import RuleFile, read_rules
from sandbox.prometheus.server import Prometheus
from sandbox.prometheus.storage import Storage
from sandbox.world import World
from tests.contract.test_promql_against_prometheus import _free_port, _wait_until_ready

pytestmark = [
    pytest.mark.prometheus,
    pytest.mark.skipif(
        shutil.which("prometheus") is None or shutil.which("promtool") is None,
        reason="prometheus and promtool are not on the PATH",
    ),
]

OURS = Path(__file__).resolve().parents[2] / "deployments" / "prometheus" / "alerts.yaml"
STEP_S = 10
STEPS = 60

# What the file that is installed does not use, and an operator's own may.
OTHERS = """
groups:
  - name: others
    rules:
      - alert: KeptFiring
        expr: up == 0
        for: 20s
        keep_firing_for: 50s
        labels: {severity: "{{ $labels.service }}-page"}
        annotations: {summary: "{{ $labels.instance }} of {{ $labels.nothing }} is {{ $value }}"}
      - alert: Always
        expr: vector(0.5)
      - alert: ByScalar
        expr: time() > bool 100
        for: 1m
"""

Values = dict[str, list[float | None]]


def samples() -> dict[Labels, list[float | None]]:
    """Services that go and come, errors in bursts, a slow spell, restarts, a store that vanishes."""
    source = random.Random(11)
    found: dict[Labels, list[float | None]] = {}

    def add(name: str, values: list[float | None], **labels: str) -> None:
        found[Labels.of({NAME: name, **labels})] = values

    def counter(rate: float, burst: tuple[int, int], most: float) -> list[float | None]:
        total, values = 0.0, list[float | None]()
        for step in range(STEPS):
            total += most if burst[0] <= step < burst[1] else rate
            values.append(total)
        return values

    job = "pyairtable-services"
    for number, service in enumerate(("gateway", "auth")):
        for replica in range(2):
            where = {"job": job, "service": service, "instance": f"10.0.{number}.{replica}:80"}
            down = (12 + 9 * number, 18 + 12 * number + 3 * replica)
            up: list[float | None] = [
                0.0 if down[0] <= step < down[1] or source.random() < 0.04 else 1.0 for step in range(STEPS)
            ]
            if replica:
                up[40:44] = [None] * 4
            add("up", up, **where)
            add("http_requests_total", counter(0, (20, 30), 6.0), **where, status="503")
            for bound, slow in (("0.5", 0.0), ("1", 2.0), ("2.5", 90.0), ("+Inf", 100.0)):
                buckets = counter(100.0, (25 + number, 40), slow)
                add("http_request_duration_seconds_bucket", buckets, **where, le=bound)
        deployment = {"namespace": "ns", "deployment": service, "service": service}
        available: list[float | None] = [2.0 if step not in (15, 33, 34) else 1.0 for step in range(STEPS)]
        add("kube_deployment_status_replicas_available", available, **deployment)
        add("kube_deployment_spec_replicas", [2.0] * STEPS, **deployment)
        add(
            "kube_pod_container_status_restarts_total",
            [float(step > 22) + float(step > 50) for step in range(STEPS)],
            pod=f"{service}-0",
            container=service,
            service=service,
        )
    postgres: list[float | None] = [1.0 if step < 20 or step > 55 else None for step in range(STEPS)]
    add("pg_up", postgres, instance="10.0.9.1:9187")
    add("redis_up", [float(not 30 <= step < 35) for step in range(STEPS)], instance="10.0.9.2:9121")
    return found


def raised(groups: Any, data: dict[Labels, list[float | None]]) -> Iterator[tuple[int, VectorResult]]:
    """At each step, in seconds: the series ``ALERTS`` and ``ALERTS_FOR_STATE`` of the sandbox."""
    storage = Storage()
    alerting = Alerting(groups, storage, default_interval=timedelta(seconds=STEP_S))
    engine = Engine(storage)
    for step in range(STEPS):
        now = step * STEP_S * 1000
        for labels, values in data.items():
            value = values[step]
            if value is not None:
                storage.append(labels.mapping, now, value)
        alerting.evaluate(now)
        found = engine.instant('{__name__=~"ALERTS|ALERTS_FOR_STATE"}', now)
        assert isinstance(found, VectorResult)
        yield step * STEP_S, found


def agreed(folder: Path, rules: str, data: dict[Labels, list[float | None]]) -> str:
    """What promtool has to say of the sandbox's alerts; "" where it would raise the same."""
    (folder / "rules.yaml").write_text(rules, encoding="utf-8")
    groups = RuleFile.model_validate(yaml.safe_load(rules)).groups
    series = [
        {
            "series": f"{labels.get(NAME)}{_braced(labels)}",
            "values": " ".join("_" if value is None else format_value(value) for value in values),
        }
        for labels, values in data.items()
    ]
    tests = [
        {
            "expr": '{__name__=~"ALERTS|ALERTS_FOR_STATE"}',
            "eval_time": f"{seconds}s",
            "exp_samples": [
                {"labels": f"{labels.get(NAME)}{_braced(labels)}", "value": value}
                for labels, value in found.elements
            ],
        }
        for seconds, found in raised(groups, data)
    ]
    suite = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": f"{STEP_S}s",
        "tests": [{"interval": f"{STEP_S}s", "input_series": series, "promql_expr_test": tests}],
    }
    (folder / "tests.yaml").write_text(yaml.safe_dump(suite), encoding="utf-8")
    done = subprocess.run(
        ["promtool", "test", "rules", "tests.yaml"], cwd=folder, capture_output=True, text=True, check=False
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def _braced(labels: Labels) -> str:
    inner = ",".join(f'{name}="{value}"' for name, value in labels.pairs if name != NAME)
    return f"{{{inner}}}"


@pytest.mark.parametrize("rules", [OURS.read_text(encoding="utf-8"), OTHERS], ids=["installed", "others"])
def test_alerts_are_pending_firing_and_over_at_the_same_moments(rules: str, tmp_path: Path) -> None:
    assert agreed(tmp_path, rules, samples()) == ""


def test_every_alert_that_is_installed_fires_in_what_is_compared() -> None:
    groups = read_rules(OURS)
    fired = {
        labels.get("alertname")
        for _, found in raised(groups, samples())
        for labels, _ in found.elements
        if labels.get("alertstate") == "firing"
    }
    assert fired == {rule.alert for group in groups for rule in group.rules}


def test_prometheus_accepts_the_rules_that_are_installed() -> None:
    checked = subprocess.run(["promtool", "check", "rules", str(OURS)], capture_output=True, check=False)
    assert checked.returncode == 0, checked.stdout


SHOWN = """
groups:
  - name: shown
    interval: 1s
    rules:
      - alert: Always
        expr: vector(0.5)   > 0
        labels: {severity: critical, team: "of {{ $labels.x }}"}
        annotations: {summary: "it is {{ $value }}"}
      - alert: Waits
        expr: vector(-120)
        for: 1h
        keep_firing_for: 5m
      - alert: Never
        expr: absent(vector(1))
"""


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[str]:
    """Where Debian's Prometheus answers, with rules that it evaluates."""
    (tmp_path / "alerts.yaml").write_text(SHOWN)
    (tmp_path / "prometheus.yml").write_text("rule_files: [alerts.yaml]\n")
    listen = f"127.0.0.1:{_free_port()}"
    command = ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=error"]
    process = subprocess.Popen([*command, f"--web.listen-address={listen}"], cwd=tmp_path)
    try:
        _wait_until_ready(f"http://{listen}", process)
        yield f"http://{listen}"
    finally:
        process.terminate()
        process.wait(10)


def _timeless(data: Any) -> Any:
    """The same without what says when, and how long it took."""
    if isinstance(data, dict):
        moments = {"activeAt", "lastEvaluation", "evaluationTime"}
        return {key: (key in moments) or _timeless(value) for key, value in data.items()}
    return [_timeless(one) for one in data] if isinstance(data, list) else data


async def test_the_api_shows_alerts_and_rules_as_prometheus_does(shown: str) -> None:
    world = World(seed=1, epoch=datetime(2026, 11, 23, 10, tzinfo=UTC))
    groups = RuleFile.model_validate(yaml.safe_load(SHOWN)).groups
    prometheus = Prometheus(world, [], rules=groups)
    world.advance_to(5)
    transport = httpx.ASGITransport(prometheus.app)
    async with (
        httpx.AsyncClient(base_url=shown, trust_env=False) as real,
        httpx.AsyncClient(transport=transport, base_url="http://sandbox") as ours,
    ):
        deadline = time.monotonic() + 60
        while len((await real.get("/api/v1/alerts")).json()["data"]["alerts"]) < 2:
            assert time.monotonic() < deadline
        for path in ("alerts", "rules", "rules?type=alert", "rules?type=record", "rules?type=nonsense"):
            theirs, mine = await real.get(f"/api/v1/{path}"), await ours.get(f"/api/v1/{path}")
            assert mine.status_code == theirs.status_code
            assert _timeless(mine.json()) == _timeless(theirs.json())
