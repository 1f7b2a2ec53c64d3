"""What is applied beside prefect.yaml: how a run becomes a Job, and what Prefect does by itself."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import jinja2
import pytest
from kubernetes.client import V1Job
from prefect.events.actions import RunDeployment
from prefect.events.schemas.automations import AutomationCore, EventTrigger
from prefect.utilities.templating import apply_values

from deployments.prefect.apply import (
    KUBERNETES,
    PROCESSES,
    SAFETY,
    declared_automations,
    job_template,
    prefect_file,
)
from gameday.journal.store import Verdict
from gameday.spec.catalogue import Catalogue
from tests.prefect_file import PrefectFile, declared

DEPLOYMENTS = {f"{one.flow.name}/{one.name}": one for one in declared().deployments}
AUTOMATIONS = {str(one["name"]): one for one in declared_automations()}
# States that Prefect gives, by name, and ours.
OURS = {one.value.capitalize() for one in Verdict}
STATES = {"Running", "Late", "Pending", "Crashed", "Cancelled", "Failed", "Dry run", *OURS}


@pytest.fixture
def job() -> dict[str, Any]:
    """The Job that a worker would create, as it would fill the template in."""
    template = job_template()
    variables = template["variables"]["properties"]
    chosen = {name: variable["default"] for name, variable in variables.items() if "default" in variable}
    given = {
        "command": ["prefect", "flow-run", "execute"],
        "labels": {"prefect.io/flow-run": "1"},
        "name": "run",
    }
    found: dict[str, Any] = apply_values(template["job_configuration"], {**chosen, **given})
    return found


def test_a_job_is_one_that_kubernetes_takes(job: dict[str, Any]) -> None:
    manifest = job["job_manifest"]
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    # The worker writes the variables as Kubernetes wants them.
    container["env"] = [{"name": name, "value": value} for name, value in job["env"].items()]
    assert V1Job.model_validate(manifest).kind == "Job"


def test_nothing_executes_a_run_a_second_time(job: dict[str, Any]) -> None:
    spec = job["job_manifest"]["spec"]
    assert (spec["backoffLimit"], spec["parallelism"], spec["completions"]) == (0, 1, 1)
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    # Prefect's worker has a run that is told to end begin anew, unless this says otherwise.
    assert job["env"]["PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR"] == "crash"
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] >= 90
    for deployment in declared().deployments:
        assert not deployment.flow.retries, deployment.name
        assert "env" not in deployment.work_pool.job_variables, "it would replace the variable above"


def test_a_run_in_the_cluster_may_do_no_more_than_it_must(job: dict[str, Any]) -> None:
    pod = job["job_manifest"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"]["memory"]
    accounts = {
        one["name"]: one["work_pool"].get("job_variables", {}).get("service_account_name", "")
        for one in prefect_file(KUBERNETES, "/app")["deployments"]
    }
    assert pod["serviceAccountName"] == "gameday-runs"
    assert {name for name, account in accounts.items() if account} == {"emergency-stop", "sweep-orphans"}
    assert {one["work_pool"]["name"] for one in prefect_file(PROCESSES, "/app")["deployments"]} == {PROCESSES}
    in_cluster = prefect_file(KUBERNETES, "/app")
    (step,) = in_cluster.pop("pull")
    assert step == {"prefect.deployments.steps.set_working_directory": {"directory": "/app"}}
    assert PrefectFile.model_validate(in_cluster).name == "pyairtable-chaos"


@pytest.mark.parametrize("pool", [PROCESSES, KUBERNETES])
def test_what_keeps_people_safe_waits_behind_no_experiment(pool: str) -> None:
    queues = {
        one["name"]: one["work_pool"].get("work_queue_name")
        for one in prefect_file(pool, "/app")["deployments"]
    }
    safety = {one.name for one in declared().deployments if "safety" in one.tags}
    assert "emergency-stop" in safety
    assert {name for name, queue in queues.items() if queue == SAFETY} == safety


@pytest.mark.parametrize("name", AUTOMATIONS)
def test_an_automation_is_one_that_prefect_knows_and_starts_what_is_deployed(name: str) -> None:
    declared = AUTOMATIONS[name]
    assert set(declared) <= {"name", "description", "trigger", "actions"}
    assert set(declared["trigger"]) <= set(EventTrigger.model_fields)
    for event in [*declared["trigger"]["expect"], *declared["trigger"].get("after", [])]:
        assert event.removeprefix("prefect.flow-run.") in STATES
    for action in declared["actions"]:
        deployment = DEPLOYMENTS[action["deployment"]]
        given = {**deployment.parameters, **action["parameters"]}
        assert set(action) - {"deployment"} <= set(RunDeployment.model_fields)
        assert set(given) <= set(deployment.flow.parameters.properties)
        assert set(deployment.flow.parameters.required) <= set(given)
        for template in _templates(action["parameters"]):
            jinja2.Environment(autoescape=True).parse(template)
    actions = [{"type": "do-nothing"} for _ in declared["actions"]]
    assert AutomationCore.model_validate({**declared, "actions": actions}).enabled


def _templates(parameters: dict[str, Any]) -> Iterator[str]:
    for value in parameters.values():
        if isinstance(value, dict):
            assert value["__prefect_kind"] == "jinja"
            yield value["template"]


STUCK = ("a stuck run is told", "a stuck suite is told")


@pytest.mark.parametrize("name", STUCK)
def test_a_stuck_run_is_told_whatever_it_would_have_ended_as(name: str) -> None:
    ends = set(AUTOMATIONS[name]["trigger"]["expect"])
    assert {f"prefect.flow-run.{name}" for name in OURS} <= ends


def test_whatever_breaks_something_is_told_of_where_it_is_stuck() -> None:
    told = {AUTOMATIONS[name]["trigger"]["match_related"]["prefect.resource.id"] for name in STUCK}
    breaking = [one for one in declared().deployments if "chaos" in one.tags]
    assert breaking
    for deployment in breaking:
        assert told & {f"prefect.tag.{tag}" for tag in deployment.tags}, deployment.name


def test_no_suite_that_is_well_is_called_stuck() -> None:
    catalogue = Catalogue()
    patience = timedelta(seconds=AUTOMATIONS["a stuck suite is told"]["trigger"]["within"])
    for deployment in declared().deployments:
        if "suite" not in deployment.parameters:
            continue
        suite = catalogue.suite(str(deployment.parameters["suite"]))
        parts = catalogue.parts(suite)
        each = [one.experiment.baseline + one.takes + one.experiment.recovery.timeout for one in parts]
        between = len(parts) * (suite.between.settle + suite.between.timeout)
        assert sum(each, between) + catalogue.guardrails.approvals.waits < patience
