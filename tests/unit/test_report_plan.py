"""The exact plan in a report has all that was approved: everything that the digest of the plan covers."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from gameday.cli.output import Format, emit
from gameday.journal.store import Journal
from gameday.plan.model import Plan
from gameday.report.publish import publish_kept
from gameday.spec.catalogue import Catalogue
from tests.unit.test_report import NASTY, RECORD, RUN, plan
from tests.unit.test_report_page import Page

HTTP: Final = {
    "path": "/api/v1/records",
    "requests": 5,
    "contains": '"service"',
    "status": [200, 304],
    "headers": {"X-Tenant": "TENANT"},
    "service": "api-gateway",
}
WATCHES: Final = [
    {"name": "p95", "query": "p95_by_service", "expect": "<= 1", "services": ["auth-service", "redis"]},
    {"name": "front-door", "http": HTTP, "expect": ">= 0.99", "tolerate": ">= 0.8"},
    {"name": "front-latency", "http": {"path": "/health", "measures": "latency"}, "expect": "<= 1"},
    {"name": "replicas", "kubernetes": {"kind": "Deployment", "measures": "available"}, "expect": ">= 1"},
    {"name": "pods", "kubernetes": {"kind": "Pod", "selector": {"app": "redis"}}, "expect": ">= 1"},
    {"name": "slow-answers", "load": "p99", "expect": "<= 1"},
    {"name": "cpu", "query": "cpu", "abortWhen": "> 0.95", "abortFor": "1m"}
    | {"small": ["redis"], "abortForSmall": "90s"},
]
STAGE: Final = {
    "name": "kill",
    "title": "Kill it",
    "starts": "0s",
    "duration": "60s",
    "settle": "30s",
    "faults": [],
    "mustShow": [
        {
            "name": "opens",
            "query": "max(breaker)",
            "services": ["redis"],
            "reaches": ">= 2",
            "returns": "<= 0",
        }
    ],
    "expectAlerts": [{"alert": "ServiceDown", "services": ["redis"], "within": "45s", "required": True}],
}


def whole(**changes: Any) -> Plan:
    return plan(
        watches=WATCHES,
        stages=[STAGE],
        expectAlerts=[{"alert": "SlowAnswers"}],
        load={"path": "/api/v1/records", "requestsPerSecond": 20, "inFlight": 50, "warmUp": "30s"},
        recovery={"timeout": "7m", "stableFor": "40s"},
        **changes,
    )


async def page(tmp_path: Path, planned: Plan) -> str:
    async with Journal.open(f"sqlite+aiosqlite:///{tmp_path / 'journal.db'}") as journal:
        await journal.begin(
            replace(RECORD, plan=planned.model_dump(mode="json", by_alias=True), digest=planned.digest)
        )
        found = await publish_kept(journal, RUN, Catalogue(), tmp_path)
    return found.page.read_text(encoding="utf-8")


async def test_what_each_probe_asks_and_of_which_services_is_said_in_words(tmp_path: Path) -> None:
    text = Page(await page(tmp_path, whole())).text
    for words in (
        "p95 auth-service, redis <= 1",
        "p95_by_service",
        "the share of good answers to 5 requests at once, GET /api/v1/records with X-Tenant out of TENANT",
        "answered within 2s by 200 or 304 that contains '\"service\"', counted for api-gateway",
        "seconds of the slowest answer to one request, GET /health answered within 2s by any 2xx",
        "1 where as much is available as is wanted, else 0, of each service's Deployment",
        "how much of what is wanted is ready of each service's Pod with the labels app=redis",
        "p99 of the run's own load",
        "> 0.95 1m; 1m30s of redis",
    ):
        assert words in text, words


async def test_what_must_show_which_alerts_are_expected_load_and_recovery_are_said(tmp_path: Path) -> None:
    text = Page(await page(tmp_path, whole())).text
    for words in (
        "opens reaches >= 2, then returns <= 0 redis max(breaker)",
        "ServiceDown of redis 45s yes",
        "SlowAnswers 2m no",
        "20 requests/s of GET /api/v1/records answered within 2s by any 2xx",
        "at most 50 wait for an answer; 30s to warm up",
        "well for 40s, within 7m",
    ):
        assert words in text, words


async def test_the_whole_plan_is_there_as_the_command_shows_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planned = whole()
    written = html.unescape(re.findall(r"<pre>(.*?)</pre>", await page(tmp_path, planned), re.DOTALL)[-1])
    emit(planned.document | {"digest": planned.digest}, Format.YAML, lambda _: None)
    assert written == capsys.readouterr().out


async def test_the_plan_of_a_probe_that_proves_who_it_is_can_still_be_read(tmp_path: Path) -> None:
    """What stands behind such a header is hidden in the journal, even if it is only a variable's name."""
    http = {"path": "/health", "headers": {"Authorization": "PROBE_AUTHORIZATION"}}
    planned = plan(watches=[{"name": "front", "http": http, "expect": ">= 0.99"}])
    text = Page(await page(tmp_path, planned)).text
    assert "GET /health with Authorization out of [hidden] answered within 2s" in text


async def test_nothing_in_a_plan_gets_out_of_its_place_or_tells_a_secret(tmp_path: Path) -> None:
    text = await page(tmp_path, whole(title=NASTY, hypothesis=f"{NASTY} \u202e password=hunter2secret"))
    assert "<script>alert" not in text
    assert "<b>" not in text
    assert "\u202e" not in text
    assert "hunter2secret" not in text
