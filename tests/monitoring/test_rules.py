"""People are told of what goes wrong with chaos engineering itself, and of nothing else.

``promtool`` evaluates the rules with Prometheus's own code; each alert is held to a history in which it
must fire and to one in which it must not.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.monitoring import recorded
from deployments.monitoring.make.rules import recorded_name, rules
from gameday.errors import DeclarationError
from gameday.spec.catalogue import Catalogue
from tests.kustomize import DEPLOYMENTS
from tests.monitoring.test_dashboards import exposed_by_the_guard, names

PLATFORM = Catalogue().platform
Json = dict[str, Any]

LEADS = 'gameday_guard_leader{pod="one",namespace="chaos-engineering"}'
STANDS_BY = 'gameday_guard_leader{pod="two",namespace="chaos-engineering"}'
UNPROVED = 'gameday_guard_stops_total{pod="one",rule="deadline",outcome="unproved"}'
RECORDED = (
    'prometheus_rule_group_last_evaluation_timestamp_seconds{rule_group="/rules/a.yaml;gameday-signals"}'
)
# Two healthy guards, and nothing to tell; an hour of it, a value every ten seconds.
CALM = {
    LEADS: "1x360",
    STANDS_BY: "0x360",
    'gameday_guard_synced{pod="one",namespace="chaos-engineering"}': "1x360",
    'gameday_guard_synced{pod="two",namespace="chaos-engineering"}': "1x360",
    'gameday_guard_lever_engaged{pod="one"}': "0x360",
    'gameday_guard_overdue_objects{pod="one"}': "0x360",
    'gameday_guard_lapsed_runs{pod="one"}': "0x360",
    RECORDED: "0+10x360",
}


@dataclass(frozen=True)
class Told:
    """An alert, the history that it tells of, and when: not yet at one moment, at the other it is."""

    alert: str
    history: dict[str, str]
    not_yet: str
    at: str


TELLING = (
    Told("GuardDown", {LEADS: "1x5 stale", STANDS_BY: "0x5 stale"}, "2m", "3m10s"),
    Told("GuardReplicaDown", {STANDS_BY: "0x5 stale"}, "10m", "11m10s"),
    Told("GuardWithoutLeader", {LEADS: "1x5 0x300"}, "1m20s", "2m10s"),
    Told(
        "GuardBlind",
        {'gameday_guard_synced{pod="one",namespace="chaos-engineering"}': "1x5 0x300"},
        "1m20s",
        "2m10s",
    ),
    Told("FaultNotProvedEnded", {UNPROVED: "_x6 1x300"}, "50s", "1m10s"),
    Told("SafetyLeverEngaged", {'gameday_guard_lever_engaged{pod="one"}': "0x5 1x300"}, "1m10s", "1m40s"),
    Told(
        "ChaosObjectPastDeadline", {'gameday_guard_overdue_objects{pod="one"}': "0x5 2x300"}, "1m40s", "2m10s"
    ),
    Told("RunWithoutHeartbeat", {'gameday_guard_lapsed_runs{pod="one"}': "0x5 1x300"}, "1m40s", "2m10s"),
    Told("SignalsNotRecorded", {RECORDED: "0+10x6 60x300"}, "2m", "2m10s"),
)


def rule_file(name: str) -> Json:
    """The groups of a PrometheusRule, as Prometheus itself reads them."""
    body = yaml.safe_load((DEPLOYMENTS / "monitoring" / "rules" / f"{name}.yaml").read_text(encoding="utf-8"))
    groups: Json = body["spec"]
    return groups


def promtool(folder: Path, *arguments: str) -> str:
    """What promtool says; "" where all is well."""
    done = subprocess.run(["promtool", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def history(changes: dict[str, str]) -> list[Json]:
    return [{"series": series, "values": values} for series, values in {**CALM, **changes}.items()]


def alerts(name: str) -> list[Json]:
    return [rule for group in rule_file(name)["groups"] for rule in group["rules"]]


def test_every_alert_on_ourselves_is_tried() -> None:
    assert [one.alert for one in TELLING] == [rule["alert"] for rule in alerts("chaos")]


def test_an_alert_asks_for_what_the_guard_exposes() -> None:
    known = exposed_by_the_guard() | {"prometheus_rule_group_last_evaluation_timestamp_seconds"}
    for rule in alerts("chaos"):
        asked = names(rule["expr"])
        assert asked, rule["alert"]
        assert asked <= known, rule["alert"]
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}


@pytest.mark.prometheus
@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not on the PATH")
def test_each_alert_tells_when_it_must_and_not_before(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rule_file("chaos")), encoding="utf-8")
    tests = [
        {
            "interval": "10s",
            "name": told.alert,
            "input_series": history(told.history),
            "promql_expr_test": [
                {
                    "expr": f'count(ALERTS{{alertname="{told.alert}",alertstate="firing"}}) or vector(0)',
                    "eval_time": moment,
                    "exp_samples": [{"labels": "{}", "value": value}],
                }
                for moment, value in ((told.not_yet, 0), (told.at, 1))
            ],
        }
        for told in TELLING
    ]
    calm = {
        "interval": "10s",
        "name": "nothing to tell",
        "input_series": history({}),
        "alert_rule_test": [
            {"eval_time": moment, "alertname": told.alert, "exp_alerts": []}
            for told in TELLING
            for moment in ("1m", "50m")
        ],
    }
    asked = {"rule_files": ["rules.yaml"], "evaluation_interval": "10s", "tests": [*tests, calm]}
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(asked), encoding="utf-8")
    assert not promtool(tmp_path, "test", "rules", "tests.yaml")


@pytest.mark.prometheus
@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not on the PATH")
@pytest.mark.parametrize("name", rules(PLATFORM))
def test_prometheus_takes_each_rule_file(name: str, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rule_file(name)), encoding="utf-8")
    assert not promtool(tmp_path, "check", "rules", "rules.yaml")


@pytest.mark.prometheus
@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not on the PATH")
def test_a_recorded_signal_is_what_its_query_answers(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rule_file("signals")), encoding="utf-8")
    ask = next(one for one in PLATFORM.prometheus.signals if one.name == "errors")
    job = PLATFORM.prometheus.job
    failed = f'http_requests_total{{job="{job}",service="auth-service",status="500"}}'
    asked = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "5s",
        "tests": [
            {
                "interval": "5s",
                "input_series": [{"series": failed, "values": "0+10x60"}],
                "promql_expr_test": [
                    {
                        "expr": expression,
                        "eval_time": "3m",
                        "exp_samples": [{"labels": f'{name}{{service="auth-service"}}', "value": 2}],
                    }
                    for expression, name in ((ask.query, ""), (recorded_name(ask), recorded_name(ask)))
                ],
            }
        ],
    }
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(asked), encoding="utf-8")
    assert not promtool(tmp_path, "test", "rules", "tests.yaml")


def test_every_signal_is_recorded_once_an_interval_under_a_name_of_its_own() -> None:
    (group,) = rule_file("signals")["groups"]
    assert group["interval"] == "5s"
    recorded = {rule["record"]: rule["expr"] for rule in group["rules"]}
    assert recorded == {recorded_name(one): one.query for one in PLATFORM.prometheus.signals}


def test_a_rule_never_records_itself() -> None:
    signal = PLATFORM.prometheus.signals[0]
    switched = signal.model_copy(update={"query": recorded_name(signal)})
    source = PLATFORM.prometheus.model_copy(update={"signals": (switched,)})
    with pytest.raises(DeclarationError, match="would record itself"):
        rules(PLATFORM.model_copy(update={"prometheus": source}))


def test_a_platform_switched_to_what_is_recorded_is_otherwise_the_same(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert recorded.main([]) == 0
    directory = shutil.copytree(Catalogue().directory, tmp_path / "experiments")
    (directory / "platform.yaml").write_text(capsys.readouterr().out, encoding="utf-8")
    switched = Catalogue(directory).platform
    assert [one.query for one in switched.prometheus.signals] == [
        recorded_name(one) for one in PLATFORM.prometheus.signals
    ]
    source = switched.prometheus.model_copy(update={"signals": PLATFORM.prometheus.signals})
    assert switched.model_copy(update={"prometheus": source}) == PLATFORM


def test_a_catalogue_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert recorded.main(["--experiments", str(tmp_path / "nowhere")]) == 2
    assert "no such directory of experiments" in capsys.readouterr().err
