"""Why: pools, deployments and automations belong together, and are applied again after each change.

What is there already is brought up to date, under the same name: Prefect itself would make a second
automation of the same name.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.events.schemas.automations import AutomationCore
from prefect.exceptions import ObjectNotFound, PrefectException
from prefect.settings import get_current_settings
from prefect.workers.utilities import get_default_base_job_template_for_infrastructure_type
from pydantic import ValidationError
from ruamel.yaml import YAML

from gameday.errors import DeclarationError, GamedayError, OutsideError, UnreachableError, UsageError

PROCESSES: Final = "chaos-processes"
KUBERNETES: Final = "chaos-kubernetes"
SAFETY: Final = "safety"
"""The queue of either pool that goes before everything else."""

ROOT: Final = Path(__file__).resolve().parents[2]
_YAML: Final = YAML(typ="safe")
_DEPLOY_TIMEOUT_S: Final = 300
# Who stops everything needs more than a run may.
_MAY_STOP: Final = frozenset({"emergency-stop", "sweep-orphans"})
_STOPPER: Final = "gameday-guard"


async def apply(pool: str, directory: str) -> list[str]:
    """Apply everything; answers with what was done. ``directory`` is where the image has this project.

    Raises ``UsageError`` without a server to deploy to, and what that does wrong as ``OutsideError``.
    """
    if not get_current_settings().api.url:
        raise UsageError("PREFECT_API_URL is not set", hint="It names the server to deploy to.")
    try:
        async with get_client() as client:
            if (failure := await client.api_healthcheck()) is not None:
                raise UnreachableError("Prefect", f"{client.api_url}: {failure}", hint="Is the server up?")
            done = await _pools(client)
            done += _deploy(pool, directory)
            return done + await _automations(client)
    except (httpx.HTTPError, PrefectException) as error:
        raise OutsideError("Prefect", f"it refused: {error}") from error


async def _pools(client: PrefectClient) -> list[str]:
    templates = {
        PROCESSES: ("process", await get_default_base_job_template_for_infrastructure_type("process")),
        KUBERNETES: ("kubernetes", job_template()),
    }
    for name, (kind, template) in templates.items():
        pool = WorkPoolCreate(name=name, type=kind, base_job_template=template or {})
        await client.create_work_pool(pool, overwrite=True)
        await _safety_first(client, name)
    return [f"Work pool {name} ({kind})" for name, (kind, _) in templates.items()]


async def _safety_first(client: PrefectClient, pool: str) -> None:
    """Have the queue of what ends faults served before the pool's others."""
    try:
        queue = await client.read_work_queue_by_name(SAFETY, pool)
    except ObjectNotFound:
        await client.create_work_queue(SAFETY, priority=1, work_pool_name=pool)
    else:
        await client.update_work_queue(queue.id, priority=1)


def job_template() -> dict[str, Any]:
    """How a flow run becomes a Kubernetes Job."""
    found: dict[str, Any] = _YAML.load(ROOT / "deployments" / "prefect" / "kubernetes-job.yaml")
    return found


def prefect_file(pool: str, directory: str) -> dict[str, Any]:
    """prefect.yaml, for ``pool``."""
    file: dict[str, Any] = _YAML.load(ROOT / "prefect.yaml")
    if pool == PROCESSES:
        return file
    file["pull"] = [{"prefect.deployments.steps.set_working_directory": {"directory": directory}}]
    for deployment in file["deployments"]:
        stops = deployment["name"] in _MAY_STOP
        deployment["work_pool"] = {
            **deployment["work_pool"],
            "name": pool,
            "job_variables": {"service_account_name": _STOPPER} if stops else {},
        }
    return file


def _deploy(pool: str, directory: str) -> list[str]:
    file = prefect_file(pool, directory)
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "prefect.yaml"
        _YAML.dump(file, path)
        command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
        # Prefect's own command: it does more than its client offers.
        step = subprocess.run(  # noqa: S603 - our own interpreter
            [*command, "--prefect-file", str(path)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=_DEPLOY_TIMEOUT_S,
        )
    if step.returncode != 0:
        raise GamedayError(f"prefect deploy failed: {(step.stderr or step.stdout).strip()[-2000:]}")
    return [f"Deployment {one['name']}" for one in file["deployments"]]


async def _automations(client: PrefectClient) -> list[str]:
    known = {one.name: one.id for one in await client.read_automations()}
    done = []
    for declared in declared_automations():
        wanted = _read(await _with_ids(client, declared))
        if (there := known.get(wanted.name)) is not None:
            await client.update_automation(there, wanted)
        else:
            await client.create_automation(wanted)
        done.append(f"Automation {wanted.name}")
    return done


def declared_automations() -> list[dict[str, Any]]:
    """What deployments/automations.yaml says."""
    found: list[dict[str, Any]] = _YAML.load(ROOT / "deployments" / "automations.yaml")["automations"]
    return found


async def _with_ids(client: PrefectClient, declared: Mapping[str, Any]) -> dict[str, Any]:
    """``declared`` with the ids of the deployments that it names."""
    actions = []
    for action in declared["actions"]:
        rest = {key: value for key, value in action.items() if key != "deployment"}
        try:
            found = await client.read_deployment_by_name(action["deployment"])
        except ObjectNotFound:
            raise DeclarationError(
                "deployments/automations.yaml",
                (f"{declared['name']}: no deployment {action['deployment']}",),
            ) from None
        actions.append({**rest, "source": "selected", "deployment_id": found.id})
    return {**declared, "actions": actions}


def _read(automation: Mapping[str, Any]) -> AutomationCore:
    try:
        return AutomationCore.model_validate(automation)
    except ValidationError as error:
        raise DeclarationError("deployments/automations.yaml", (str(error),)) from None
