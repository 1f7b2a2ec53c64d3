"""``gameday doctor``: whatever is wrong, it says what was found and how to mend it, and goes on."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from gameday.cli.main import run
from gameday.clients.kubernetes import Cluster
from gameday.clock import RemoteClock
from gameday.errors import ExitCode
from gameday.spec.catalogue import default_directory
from sandbox.process.launch import Sandbox
from tests.grafana import TOKEN, catalogue_with, serving

Capture = pytest.CaptureFixture[str]
VERSION = "app.kubernetes.io/version"


def lines(capsys: Capture, code: ExitCode, *arguments: str) -> dict[str, dict[str, Any]]:
    """Every line of the doctor, by area and name."""
    assert run(["doctor", "-o", "json", *arguments]) == code
    return {f"{line['area']}: {line['name']}": line for line in json.loads(capsys.readouterr().out)}


def control(sandbox: Sandbox, path: str, body: dict[str, Any], method: str = "POST") -> None:
    url = f"{sandbox.url}/control/{path}"
    httpx.request(method, url, json=body, trust_env=False).raise_for_status()


@pytest.mark.usefixtures("shared_sandbox")
def test_where_all_is_well_nothing_failed_and_nothing_well_has_advice(capsys: Capture) -> None:
    found = lines(capsys, ExitCode.HELD)
    assert {line["state"] for line in found.values()} <= {"ok", "warn", "skipped"}
    assert all(not line["mend"] for line in found.values() if line["state"] == "ok")
    assert found["Chaos Mesh: webhook"]["found"] == "refuses what it must"
    assert found["Chaos Mesh: version"]["found"] == "2.8.1"
    assert found["Prometheus: signal p95"]["found"].startswith("data of 4 services")
    assert found["Prometheus: alert ReplicaMissing"]["found"].startswith("has a rule; expected by ")


@pytest.mark.usefixtures("shared_sandbox")
def test_what_experiments_expect_of_alerts_and_of_the_front_door_is_looked_at(
    capsys: Capture, tmp_path: Path
) -> None:
    for name in ("platform.yaml", "guardrails.yaml"):
        (tmp_path / name).write_bytes((default_directory() / name).read_bytes())
    text = (default_directory() / "basic-pod-failure.yaml").read_text(encoding="utf-8")
    probes = "".join(
        f"  - {{name: {name}, http: {{path: {path}}}, expect: '>= 1'}}\n"
        for name, path in (("records", "/api/v1/records"), ("nowhere", "/nowhere"))
    )
    text = text.replace("stages:\n", f"{probes}stages:\n", 1).replace("ReplicaMissing", "NobodyKnowsIt")
    (tmp_path / "basic-pod-failure.yaml").write_text(text, encoding="utf-8")
    found = lines(capsys, ExitCode.HELD, "--experiments", str(tmp_path))
    unknown = found["Prometheus: alert NobodyKnowsIt"]
    assert (unknown["state"], unknown["found"]) == (
        "warn",
        "no rule raises it; expected by basic-pod-failure",
    )
    assert found["front door: GET /api/v1/records"]["state"] == "ok"
    assert found["front door: GET /nowhere"]["state"] == "warn"
    assert found["front door: GET /nowhere"]["found"].startswith("answers 404 after ")


@pytest.mark.usefixtures("shared_sandbox")
def test_people_read_it_by_area_with_a_sum_at_the_end(capsys: Capture) -> None:
    assert run(["doctor"]) == ExitCode.HELD
    told = capsys.readouterr().out.splitlines()
    assert {"Kubernetes", "Chaos Mesh", "permissions", "Prometheus", "Slack", "Prefect"} <= set(told)
    assert " 0 failed" in told[-1]


def test_without_a_cluster_everything_else_is_looked_at(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Capture
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    found = lines(capsys, ExitCode.REFUSED)
    assert found["Kubernetes: cluster"]["state"] == "fail"
    assert found["Kubernetes: cluster"]["mend"]
    assert found["Prometheus: signal errors"]["state"] == "ok"
    assert found["Slack: token"]["state"] == "ok"


def test_without_an_address_of_prometheus_it_says_where_to_set_it(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.delenv("GAMEDAY_PROMETHEUS_URL")
    line = lines(capsys, ExitCode.REFUSED)["Prometheus: address"]
    assert "GAMEDAY_PROMETHEUS_URL" in line["mend"]


def test_a_right_that_is_missing_is_named_for_each_role_that_needs_it(
    sandbox: Sandbox, capsys: Capture
) -> None:
    control(sandbox, "kubernetes/forbid", {"verbs": ["deletecollection"], "resources": ["podchaos"]})
    found = lines(capsys, ExitCode.HELD)
    for role in ("runs", "guard", "stop"):
        assert "may not deletecollection podchaos" in found[f"permissions: enough for {role}"]["found"]


@pytest.mark.parametrize(
    ("labels", "image", "state", "found"),
    [
        ({VERSION: "2.7.2"}, "chaos-mesh/chaos-mesh:v2.8.1", "warn", "2.7.2"),
        ({VERSION: None}, "registry.example:5000/chaos-mesh:v2.8.3@sha256:0", "ok", "2.8.3"),
        ({VERSION: None}, "chaos-mesh/chaos-mesh:latest", "warn", "not told"),
    ],
)
def test_a_chaos_mesh_that_nothing_was_measured_on_is_told(
    sandbox: Sandbox, capsys: Capture, labels: dict[str, str | None], image: str, state: str, found: str
) -> None:
    async def relabel() -> None:
        async with Cluster.connect(clock=RemoteClock(sandbox.env["GAMEDAY_CLOCK_URL"])) as cluster:
            (controller,) = await cluster.deployments(
                "chaos-engineering", {"app.kubernetes.io/component": "controller-manager"}
            )
            containers = [{"name": controller.name, "image": image}]
            await cluster.api.patch(
                f"/apis/apps/v1/namespaces/{controller.namespace}/deployments/{controller.name}",
                {
                    "metadata": {"labels": labels},
                    "spec": {"template": {"spec": {"containers": containers}}},
                },
                doing="install another version",
            )

    asyncio.run(relabel())
    assert run(["doctor", "-o", "json"]) in {ExitCode.HELD, ExitCode.REFUSED}
    (line,) = [
        one
        for one in json.loads(capsys.readouterr().out)
        if (one["area"], one["name"]) == ("Chaos Mesh", "version")
    ]
    assert line["state"] == state
    assert line["found"].startswith(found)
    assert ("2.8 is supported" in line["mend"]) == (state == "warn")


def test_a_webhook_that_is_away_is_found_out(sandbox: Sandbox, capsys: Capture) -> None:
    control(sandbox, "kubernetes/controller", {"down": True})
    found = lines(capsys, ExitCode.REFUSED)
    assert found["Chaos Mesh: webhook"]["state"] == "fail"


def test_a_node_without_a_daemon_is_named(sandbox: Sandbox, capsys: Capture) -> None:
    async def end_a_daemon() -> str:
        clock = RemoteClock(sandbox.env["GAMEDAY_CLOCK_URL"])
        async with Cluster.connect(clock=clock) as cluster:
            labels = {"app.kubernetes.io/component": "chaos-daemon"}
            pod, *_ = await cluster.pods("chaos-engineering", labels)
            await cluster.api.patch(
                f"/api/v1/nodes/{pod.node}", {"spec": {"unschedulable": True}}, doing="cordon"
            )
            await cluster.api.delete(
                f"/apis/apps/v1/namespaces/chaos-engineering/daemonsets/{pod.owner.partition('/')[2]}",
                doing="remove the daemon",
            )
            await clock.sleep(timedelta(seconds=60))
            return pod.node

    node = asyncio.run(end_a_daemon())
    line = lines(capsys, ExitCode.REFUSED)["Chaos Mesh: daemon on every node"]
    assert line["state"] == "fail"
    assert node in line["found"]


def test_clocks_that_disagree_are_told_because_leases_are_judged_by_them(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    asyncio.run(RemoteClock(sandbox.env["GAMEDAY_CLOCK_URL"]).sleep(timedelta(hours=2)))
    monkeypatch.delenv("GAMEDAY_CLOCK_URL")
    found = lines(capsys, ExitCode.REFUSED)
    for area in ("Kubernetes", "Prometheus"):
        assert found[f"{area}: clock"]["state"] == "fail"
        assert (
            found[f"{area}: clock"]["found"].startswith("1h59m") or "2h" in found[f"{area}: clock"]["found"]
        )


@pytest.mark.parametrize("mode", ["empty", "failing"])
def test_signals_that_cannot_be_seen_are_named_with_their_query(
    mode: str, sandbox: Sandbox, capsys: Capture
) -> None:
    control(sandbox, "prometheus/", {"mode": mode}, "PUT")
    line = lines(capsys, ExitCode.REFUSED)["Prometheus: signal availability"]
    assert line["state"] == "fail"
    assert "avg by (service)" in line["mend"]


def test_a_token_that_slack_refuses_is_told_with_what_to_set(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("GAMEDAY_SLACK_TOKEN", "xoxb-not-this-one")
    line = lines(capsys, ExitCode.REFUSED)["Slack: Slack"]
    assert "GAMEDAY_SLACK_TOKEN" in line["mend"]
    assert "xoxb-not-this-one" not in json.dumps(line)


@pytest.mark.parametrize(
    ("given", "code", "state", "missing"),
    [
        (["chat:write", "channels:read"], ExitCode.REFUSED, "fail", "files:write"),
        (["chat:write", "files:write"], ExitCode.HELD, "warn", "channels:read"),
    ],
)
def test_a_token_that_may_not_do_all_that_a_run_asks_of_slack_is_told(
    sandbox: Sandbox, capsys: Capture, given: list[str], code: ExitCode, state: str, missing: str
) -> None:
    control(sandbox, "slack/scopes", {"scopes": given}, "PUT")
    line = lines(capsys, code)["Slack: scopes"]
    assert (line["state"], line["found"]) == (state, f"missing: {missing}")
    assert missing in line["mend"]


def test_a_channel_that_must_be_told_and_is_not_there_fails(
    sandbox: Sandbox, tmp_path: Path, capsys: Capture
) -> None:
    for file in default_directory().glob("*"):
        text = file.read_text(encoding="utf-8")
        (tmp_path / file.name).write_text(text.replace("#chaos-staging", "#nobody-made-it"), encoding="utf-8")
    line = lines(capsys, ExitCode.REFUSED, "--experiments", str(tmp_path))["Slack: channel #nobody-made-it"]
    assert line["state"] == "fail"
    assert "/invite" in line["mend"]


def test_dashboards_that_reports_link_to_are_looked_for(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Capture
) -> None:
    with serving() as grafana:
        grafana.dashboards = {"chaos-overview"}
        arguments = ("--experiments", str(catalogue_with(grafana, tmp_path)))
        refused = lines(capsys, ExitCode.HELD, *arguments)
        assert "GAMEDAY_GRAFANA_TOKEN" in refused["Grafana: dashboard chaos-overview"]["mend"]
        assert refused["Grafana: annotations"]["state"] == "skipped"
        monkeypatch.setenv("GAMEDAY_GRAFANA_TOKEN", TOKEN)
        found = lines(capsys, ExitCode.HELD, *arguments)
    assert found["Grafana: Grafana"]["found"] == "answers, 12.1.0"
    assert found["Grafana: dashboard chaos-overview"]["state"] == "ok"
    assert found["Grafana: dashboard system-health"]["found"] == "is not there"
    assert found["Grafana: annotations"]["state"] == "ok"


def test_a_journal_that_cannot_be_written_is_told(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "file").write_text("no directory")
    monkeypatch.setenv("GAMEDAY_DATABASE_URL", f"sqlite+aiosqlite:///{tmp_path}/file/journal.db")
    assert lines(capsys, ExitCode.REFUSED)["journal: journal"]["state"] == "fail"


def test_a_prefect_server_that_does_not_answer_is_told(sandbox: Sandbox, capsys: Capture) -> None:
    nobody = {PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_CLIENT_MAX_RETRIES: 0}
    with temporary_settings(nobody):
        line = lines(capsys, ExitCode.REFUSED)["Prefect: server"]
    assert line["state"] == "fail"
    assert "PREFECT_API_URL" in line["mend"]
