"""The sandbox's Prometheus evaluates a file of alerting rules, and says clearly what is wrong with one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from gameday.errors import DeclarationError
from sandbox.process.launch import Sandbox
from sandbox.prometheus.alerting import Alerting
from sandbox.prometheus.promql.engine import Engine, VectorResult
from sandbox.prometheus.rulefile import RuleFile, read_rules
from sandbox.prometheus.server import Prometheus
from sandbox.prometheus.storage import Storage
from sandbox.world import World


def written(path: Path, *rules: dict[str, Any], **group: Any) -> Path:
    groups = [{"name": "one", "rules": list(rules), **group}]
    path.write_text(yaml.safe_dump({"groups": groups}), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"alert": "A", "expr": "up =="}, "groups.0.rules.0.expr: "),
        ({"alert": "A", "expr": "up", "fro": "5m"}, "fro: Extra inputs are not permitted"),
        ({"alert": "A", "expr": "up", "for": "soon"}, "groups.0.rules.0.for: "),
        ({"record": "a:b", "expr": "up"}, "groups.0.rules.0.alert: Field required"),
        (
            {"alert": "A", "expr": "up", "annotations": {"a": "{{ humanize $value }}"}},
            "only $labels.NAME and $value are known: humanize $value",
        ),
    ],
)
def test_a_rule_that_would_be_understood_otherwise_is_refused(
    rule: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    with pytest.raises(DeclarationError) as caught:
        read_rules(written(tmp_path / "rules.yaml", rule))
    assert any(expected in problem for problem in caught.value.problems)


def test_a_file_that_is_no_yaml_is_told_with_its_path(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text("groups: {", encoding="utf-8")
    with pytest.raises(DeclarationError, match=r"rules\.yaml: the alerting rules cannot be read"):
        read_rules(path)


def test_alerts_that_would_be_the_same_are_an_error_of_the_rule_and_raise_nothing() -> None:
    storage = Storage()
    rule = {"alert": "A", "expr": "up", "labels": {"instance": "same"}}
    groups = RuleFile.model_validate({"groups": [{"name": "one", "rules": [rule]}]}).groups
    for instance in ("a", "b"):
        storage.append({"__name__": "up", "instance": instance}, 0, 1.0)
    alerting = Alerting(groups, storage, default_interval=timedelta(seconds=5))
    alerting.evaluate(0)
    ((shown,),) = (group["rules"] for group in alerting.groups("rules.yaml"))
    assert (shown["health"], shown["state"]) == ("err", "inactive")
    assert shown["lastError"] == "vector contains metrics with the same labelset after applying alert labels"
    found = Engine(storage).instant("ALERTS", 0)
    assert isinstance(found, VectorResult)
    assert found.elements == []


def test_a_group_without_an_interval_is_evaluated_as_often_as_is_scraped() -> None:
    rule = {"alert": "A", "expr": "vector(1)", "for": "15s"}
    groups = RuleFile.model_validate({"groups": [{"name": "one", "rules": [rule]}]}).groups
    world = World(seed=1, epoch=datetime(2026, 11, 23, 10, tzinfo=UTC))
    prometheus = Prometheus(world, [], scrape_interval_s=5, rules=groups)
    states = []
    for elapsed in (4, 5, 19, 20):
        world.advance_to(elapsed)
        states.append([alert["state"] for alert in prometheus.alerting.alerts()])
    assert states == [[], ["pending"], ["pending"], ["firing"]]


def test_the_sandbox_has_the_rules_that_are_installed_and_a_healthy_platform_raises_no_alarm(
    shared_sandbox: Sandbox,
) -> None:
    url = f"{shared_sandbox.env['GAMEDAY_PROMETHEUS_URL']}/api/v1"
    groups = httpx.get(f"{url}/rules", trust_env=False).json()["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert {rule["name"] for rule in rules} >= {"ServiceDown", "ErrorRateHigh", "PostgresDown"}
    assert {rule["health"] for rule in rules} == {"ok"}
    assert httpx.get(f"{url}/alerts", trust_env=False).json()["data"]["alerts"] == []
