"""What a rehearsal foretells is kept, taken by the next run, and set beside what happened."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from gameday.analysis.model import Analysis, Change, Effect, Finding, Pattern, Summary
from gameday.analysis.prediction import Prediction, compare, signals_of
from gameday.clients.kubernetes import Cluster
from gameday.clients.types import Pod
from gameday.clock import SystemClock
from gameday.journal.results import Results
from gameday.journal.store import Journal, Verdict
from gameday.report import html, markdown
from gameday.report.data import collect
from gameday.report.telling import Telling
from gameday.run.rehearsal import Size, _size, foretold, keep, prepare, sizes
from gameday.spec.catalogue import Catalogue
from sandbox.process.launch import Sandbox
from tests.kept_runs import AT, DAY, an_ended_run


def effect(signal: str, service: str, before: float, during: float, change: Change) -> Effect:
    def summary(value: float) -> Summary:
        return Summary(count=20, median=value, p95=value, least=value, most=value)

    values = {"before": summary(before), "during": summary(during), "after": summary(before)}
    return Effect(signal=signal, service=service, unit="s", change=change, **values)


def analysed(
    run: str = "run", *, latency: float = 2.0, change: Change = "worse", broke: bool = False
) -> Analysis:
    pattern = Pattern(
        name="cascading-failure", sure=0.9, services=("redis", "api-gateway"), began=AT, evidence=("e",)
    )
    finding = Finding.model_validate(
        {"key": "k", "severity": "high", "title": "p95 at api-gateway reached 9", "breaksHypothesis": True}
    )
    return Analysis.model_validate(
        {
            "run": run,
            "at": AT,
            "method": "by hand",
            "effects": [
                effect("p95", "api-gateway", 0.1, latency, change),
                effect("errors", "api-gateway", 0.0, 0.0, "same"),
                effect("cpu", "redis", 0.2, 0.2, "unknown"),
            ],
            "patterns": [pattern] if broke else [],
            "findings": [finding] if broke else [],
        }
    )


def prediction(**more: Any) -> Prediction:
    values = {
        "experiment": "trial",
        "environment": "staging",
        "digest": "d1",
        "at": AT - DAY,
        "seed": 1,
        "twin": ("redis: 1 replica, as the cluster has",),
        "verdict": Verdict.HELD,
        "signals": signals_of(analysed().effects),
        "recoveredS": 20.0,
    }
    return Prediction.model_validate(values | more)


def test_what_happened_as_foretold_is_told_so() -> None:
    found = compare(prediction(), analysed(latency=2.2), Verdict.HELD, digest="d1", recovered_s=25.0)
    assert (found.verdict_agrees, found.breach_agrees, found.patterns_agree, found.same_plan) == (True,) * 4
    (moved,) = found.signals
    assert (moved.signal, moved.predicted, moved.happened, moved.agrees) == ("p95", 2.0, 2.2, True)
    assert (found.agreed, found.of) == (2, 2), "what nobody knows is not compared"
    assert found.in_short.startswith("The rehearsal said no breach, rightly: there was none; of 2 signals")


def test_what_came_otherwise_is_told_first() -> None:
    found = compare(
        prediction(signals=signals_of(analysed(change="same").effects)),
        analysed(latency=9, broke=True),
        Verdict.DISPROVED,
        digest="d2",
        recovered_s=None,
    )
    assert (found.verdict_agrees, found.breach_agrees, found.patterns_agree, found.same_plan) == (False,) * 4
    assert found.breaches == ("p95 at api-gateway reached 9",)
    assert found.signals[0].agrees is False
    assert "no breach, wrongly: there was one" in found.in_short
    assert "the plan is another by now" in found.in_short


def test_an_abort_is_a_breach_as_a_broken_hypothesis_is() -> None:
    foresaw = prediction(verdict=Verdict.ABORTED)
    found = compare(foresaw, analysed(), Verdict.DISPROVED, digest="d1", recovered_s=1.0)
    assert (found.breach_agrees, found.verdict_agrees) == (True, False)


async def test_a_rehearsal_foretells_what_its_record_says_and_nothing_without_a_judgement(
    database: str,
) -> None:
    async with Journal.open(database) as journal:
        assert await foretold(journal, environment="staging", at=AT, seed=1, twin=()) is None
        run = await an_ended_run(journal, "run-a", verdict=Verdict.DISPROVED, digest="d1")
        assert await foretold(journal, environment="staging", at=AT, seed=1, twin=()) is None
        body = analysed(run, broke=True).model_dump(mode="json", by_alias=True)
        await Results(journal).keep_analysis(run, AT, body, [])
        found = await foretold(journal, environment="production", at=AT, seed=7, twin=("as it is",))
        assert found is not None
        assert (found.environment, found.digest, found.seed, found.recovered_s) == (
            "production",
            "d1",
            7,
            20.0,
        )
        assert found.breach
        assert found.breaches == ("p95 at api-gateway reached 9",)
        assert [one.name for one in found.patterns] == ["cascading-failure"]
        await an_ended_run(journal, "run-b", AT + DAY, Verdict.REFUSED)
        assert await foretold(journal, environment="staging", at=AT, seed=1, twin=()) is None


async def test_the_report_of_a_run_sets_what_was_foretold_beside_what_happened(database: str) -> None:
    async with Journal.open(database) as journal:
        await keep(journal, prediction(at=AT - 2 * DAY, digest="old"))
        await keep(journal, prediction())
        await keep(journal, prediction(environment="production", at=AT - DAY / 2))
        run = await an_ended_run(journal, "run-a", verdict=Verdict.DISPROVED, digest="d1")
        assert (await collect(journal, run)).compared is None
        await Results(journal).expect(run, "trial", "staging")
        unanalysed = await collect(journal, run)
        assert any("A rehearsal foretold this run" in line for line in unanalysed.unproved)
        body = analysed(run, latency=9, broke=True).model_dump(mode="json", by_alias=True)
        await Results(journal).keep_analysis(run, AT, body, [])
        data = await collect(journal, run)
    assert data.compared is not None
    assert data.compared.same_plan, "the newest for this environment"
    text = markdown.render(data)
    assert "## Foretold and happened" in text
    assert "| Verdict | held | disproved | no |" in text
    assert "| p95 of api-gateway | 2, worse | 9, worse | yes |" in text
    page = html.render(data, Telling(()))
    assert "said no breach, wrongly: there was one" in page
    assert "redis: 1 replica, as the cluster has" in page


async def test_a_run_of_which_nobody_foretold_anything_has_no_such_section(database: str) -> None:
    async with Journal.open(database) as journal:
        run = await an_ended_run(journal, "run-a")
        await Results(journal).expect(run, "trial", "staging")
        assert "Foretold" not in markdown.render(await collect(journal, run))


async def test_a_prediction_of_another_version_is_told_and_breaks_no_report(database: str) -> None:
    async with Journal.open(database) as journal:
        await keep(journal, prediction())
        kept = await Results(journal).newest_prediction("trial", "staging")
        assert kept is not None
        await Results(journal).keep_prediction(replace(kept, prediction="new", at=AT, body={"strange": 1}))
        run = await an_ended_run(journal, "run-a")
        await Results(journal).expect(run, "trial", "staging")
        await Results(journal).keep_analysis(
            run, AT, analysed(run).model_dump(mode="json", by_alias=True), []
        )
        data = await collect(journal, run)
    assert data.compared is None
    assert any("another version" in line for line in data.unproved)


def pod(service: str, limits: dict[str, str] | None, name: str = "a") -> Pod:
    sidecar = {"name": "proxy", "resources": {"limits": {"cpu": "4", "memory": "4Gi"}}}
    own = {"name": service, "resources": {"limits": limits} if limits else {}}
    return Pod.read({"metadata": {"name": name}, "spec": {"containers": [sidecar, own]}})


@pytest.mark.parametrize(
    ("limits", "size"),
    [
        ({"cpu": "500m", "memory": "768Mi"}, Size(2, 0.5, 768)),
        ({"memory": "1G"}, Size(2, None, 953)),
        (None, Size(2)),
    ],
)
def test_the_limits_are_those_of_the_services_own_container(
    limits: dict[str, str] | None, size: Size
) -> None:
    assert _size("redis", [pod("redis", limits), pod("redis", limits, "b")]) == size


async def test_replicas_are_read_from_the_cluster(shared_sandbox: Sandbox) -> None:
    assert shared_sandbox.url
    async with Cluster.connect(clock=SystemClock()) as cluster:
        found = await sizes(cluster, Catalogue().platform, "pyairtable-staging")
    assert {name: size.replicas for name, size in found.items()} == {
        "api-gateway": 3,
        "auth-service": 3,
        "automation-services": 2,
        "platform-services": 3,
        "postgres": 1,
        "redis": 1,
    }


def test_the_twin_takes_over_what_the_cluster_has_and_no_rule_of_the_hour(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for path in Catalogue().directory.glob("*.yaml"):
        (source / path.name).write_bytes(path.read_bytes())
    yaml = YAML(typ="safe")
    written = yaml.load(source / "platform.yaml")
    written["environments"][1]["prometheusUrl"] = "http://prometheus.example.com"
    with (source / "platform.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(written, file)
    words = prepare(
        Catalogue(source),
        "staging",
        {"api-gateway": Size(5, 0.5, 1024), "redis": Size(2, None, 1)},
        tmp_path / "twin",
    )
    twin = Catalogue(tmp_path / "twin")
    gateway, redis = twin.platform.service("api-gateway"), twin.platform.service("redis")
    assert (gateway.replicas, gateway.twin.cpus, gateway.twin.memory_limit_mib) == (5, 0.5, 1024)
    assert redis.replicas == 2
    assert redis.twin == Catalogue().platform.service("redis").twin, "no twin fits into 1 MiB"
    assert words[0] == "api-gateway: 5 replicas, 0.5 CPUs, 1024 MiB, as the cluster has"
    assert "postgres: 1 replica, as platform.yaml says" in words
    assert twin.platform.environment("staging").prometheus_url is None
    assert (twin.guardrails.hours, twin.guardrails.freezes, twin.guardrails.gaps) == ((), (), ())
    assert twin.guardrails.thresholds == Catalogue().guardrails.thresholds
    assert twin.names == Catalogue().names
