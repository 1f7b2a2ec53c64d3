"""What prefect.yaml declares is what Prefect deploys, and a run can be started from it."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Literal

import pytest
from prefect.client.orchestration import get_client
from pydantic import BaseModel, ConfigDict
from ruamel.yaml import YAML

from gameday.journal.store import Journal, Verdict
from gameday.settings import load
from gameday.spec.catalogue import Catalogue
from sandbox.process.launch import Sandbox
from tests.flows.conftest import ROOT, Process, live_faults, until


class Strict(BaseModel):
    """Prefect ignores keys that it does not know; this does not."""

    model_config = ConfigDict(extra="forbid")


class WorkPool(Strict):
    name: str
    job_variables: dict[str, Any] = {}


class ConcurrencyLimit(Strict):
    limit: int
    collision_strategy: Literal["ENQUEUE", "CANCEL_NEW"]


class Deployment(Strict):
    name: str
    description: str
    entrypoint: str
    tags: list[str] = []
    parameters: dict[str, Any] = {}
    work_pool: WorkPool
    concurrency_limit: ConcurrencyLimit | None = None


class PrefectFile(Strict):
    name: str
    definitions: dict[str, Any] = {}
    deployments: list[Deployment]


def declared() -> PrefectFile:
    """prefect.yaml, read strictly."""
    return PrefectFile.model_validate(YAML(typ="safe").load(ROOT / "prefect.yaml"))


def test_every_key_of_prefect_yaml_is_one_that_prefect_knows() -> None:
    file = declared()
    assert [one.name for one in file.deployments] == [
        "by-hand",
        "full-resilience-suite",
        "quarterly-review",
    ]
    for deployment in file.deployments:
        path, _, function = deployment.entrypoint.partition(":")
        assert f"async def {function}(" in (ROOT / path).read_text(encoding="utf-8")


def test_parameters_of_prefect_yaml_are_parameters_of_the_flow() -> None:
    catalogue = Catalogue()
    environments = [environment.name for environment in catalogue.platform.environments]
    for deployment in declared().deployments:
        path, _, function = deployment.entrypoint.partition(":")
        flow = getattr(import_module(path.removesuffix(".py").replace("/", ".")), function)
        assert set(deployment.parameters) <= set(flow.parameters.properties)
        assert deployment.parameters["environment"] in environments
        assert {deployment.parameters.get("suite")} <= {None, *catalogue.suites}


@pytest.mark.prefect
@pytest.mark.usefixtures("in_prefect")
async def test_a_run_is_deployed_and_started_through_the_api_and_comes_to_its_verdict(
    sandbox: Sandbox, worker: Process
) -> None:
    async with get_client() as client:
        deployment = await client.read_deployment_by_name("run-experiment/by-hand")
        flow_run = await client.create_flow_run_from_deployment(
            deployment.id,
            parameters={"experiment": "basic-pod-failure", "environment": "staging", "duration": "90s"},
        )

    async def final_state() -> str:
        async with get_client() as client:
            state = (await client.read_flow_run(flow_run.id)).state
        return (state.name or "final") if state is not None and state.is_final() else ""

    assert await until(final_state, "a verdict", process=worker) == "Held", worker.output
    assert await live_faults() == []
    async with Journal.open(load().database_url) as journal:
        record = await journal.of_flow_run(str(flow_run.id))
    assert record is not None
    assert record.verdict is Verdict.HELD
