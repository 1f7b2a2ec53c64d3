"""The dashboards show what there is: Prometheus takes every query, and somebody exposes its series."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import promql_parser
import pytest
import yaml

from deployments.monitoring.make.dashboards import DETAILS, HEALTH, OVERVIEW
from deployments.monitoring.make.files import made
from gameday.clients.grafana import CHAOS
from gameday.guard.metrics import Metrics
from gameday.spec.catalogue import Catalogue, default_directory
from sandbox.process.launch import Sandbox

MONITORING = Path(__file__).resolve().parents[2] / "deployments" / "monitoring"
BOARDS = (OVERVIEW, DETAILS, HEALTH)
# kube-state-metrics gives this one of a container that has died before, and the sandbox does as it does.
ONLY_AFTER_A_DEATH = {"kube_pod_container_status_last_terminated_reason"}
# What Grafana puts in for its variables.
VARIABLES = {"$service": ".*", "$run": ".*", "$__rate_interval": "1m"}


def board(uid: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        (MONITORING / "dashboards" / f"{uid}.json").read_text(encoding="utf-8")
    )
    return found


def asked(uid: str) -> Iterator[tuple[str, str]]:
    """Each question of a dashboard, with where it stands."""
    whole = board(uid)
    for panel in whole["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    for annotation in whole["annotations"]["list"]:
        if "expr" in annotation:
            yield annotation["name"], annotation["expr"]
    for variable in whole["templating"]["list"]:
        if variable["type"] == "query":
            inner = re.fullmatch(r"label_values\((.*), \w+\)", variable["query"])
            assert inner, variable["query"]
            yield variable["name"], inner[1]


def as_sent(expression: str) -> str:
    """The question as Prometheus gets it."""
    for variable, value in VARIABLES.items():
        expression = expression.replace(variable, value)
    # "$1" is label_replace's own: a group of its pattern.
    assert not re.search(r"\$(?!\d)", expression), f"a variable that no dashboard has: {expression}"
    return expression


QUERIES = sorted({as_sent(expression) for uid in BOARDS for _, expression in asked(uid)})


def names(expression: str) -> set[str]:
    """The series that a query is about."""
    promql_parser.parse(expression)
    words = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]|\b(by|on|ignoring|without)\s*\([^)]*\)', " ", expression)
    return {
        word for word in re.findall(r"[a-z_][a-z0-9_]*(?!\s*\()\b", words) if "_" in word or word == "up"
    } - {"histogram_quantile"}


def exposed_by_the_guard() -> set[str]:
    found = set()
    for family in Metrics().registry.collect():
        endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
        found |= {f"{family.name}{ending}" for ending in endings}
    return found


@pytest.mark.parametrize("name", made(Catalogue(default_directory())))
def test_what_is_committed_is_what_would_be_made(name: str) -> None:
    expected = made(Catalogue(default_directory()))[name]
    assert (MONITORING / name).read_text(encoding="utf-8") == expected, (
        "run: python -m deployments.monitoring.make"
    )


@pytest.mark.parametrize("uid", BOARDS)
def test_a_dashboard_is_found_by_the_name_that_the_guide_gives_it(uid: str) -> None:
    whole = board(uid)
    assert whole["uid"] == uid
    assert uid in (Catalogue(default_directory()).platform.grafana or pytest.fail("no Grafana")).dashboards
    assert {link["url"] for link in whole["links"]} == {f"/d/{other}" for other in BOARDS if other != uid}


@pytest.mark.parametrize("uid", BOARDS)
def test_what_runs_mark_is_shown_on_every_dashboard(uid: str) -> None:
    (marks,) = [one for one in board(uid)["annotations"]["list"] if one["datasource"]["type"] == "grafana"]
    assert marks["enable"]
    assert (marks["target"]["type"], marks["target"]["tags"]) == ("tags", [CHAOS])


@pytest.mark.parametrize("uid", BOARDS)
def test_every_panel_says_what_it_shows_and_none_lies_on_another(uid: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in board(uid)["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert all(x < 24 for x, _ in cells), panel["title"]
        taken |= cells
        if panel["type"] != "row":
            assert panel["description"], panel["title"]
            assert panel["datasource"]["uid"] == "${datasource}"


def test_every_series_that_is_shown_is_exposed_by_somebody(shared_sandbox: Sandbox) -> None:
    url = f"{shared_sandbox.env['GAMEDAY_PROMETHEUS_URL']}/api/v1/label/__name__/values"
    series = httpx.get(url, trust_env=False).raise_for_status().json()["data"]
    known = {*series, *exposed_by_the_guard(), *ONLY_AFTER_A_DEATH}
    for expression in QUERIES:
        assert names(expression), expression
        assert names(expression) <= known, expression


def test_what_is_shown_of_the_platform_has_data(shared_sandbox: Sandbox) -> None:
    url = f"{shared_sandbox.env['GAMEDAY_PROMETHEUS_URL']}/api/v1/query"
    for expression in QUERIES:
        if any(name.startswith("gameday_") for name in names(expression)):
            continue  # no guard runs here
        answer = httpx.get(url, params={"query": expression}, trust_env=False).raise_for_status().json()
        assert answer["data"]["result"], expression


@pytest.mark.prometheus
@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not on the PATH")
def test_prometheus_itself_takes_every_query(tmp_path: Path) -> None:
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(QUERIES)]
    path = tmp_path / "queries.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}))
    checked = subprocess.run(
        ["promtool", "check", "rules", path], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert checked.returncode == 0, checked.stderr
    assert f"{len(QUERIES)} rules found" in checked.stdout
