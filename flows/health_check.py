"""Why: a platform that is ill is better found before a run is due than by the run that it refuses.

The same checks as before a run. It also has Prefect show how the safety lever stands: the guard
engages it without Prefect.
"""

# No postponed annotations here, as in ``run_experiment``.

from collections.abc import Sequence
from typing import Any

from prefect import flow
from prefect.artifacts import acreate_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows import safety_lever
from gameday.clients.kubernetes import Cluster
from gameday.clock import Clock
from gameday.errors import GamedayError
from gameday.health import Check, examine
from gameday.report.templating import cell
from gameday.safety import lever
from gameday.settings import Settings, clock, load
from gameday.spec.catalogue import Catalogue
from gameday.spec.platform import Environment


@flow(name="health-check", flow_run_name="health of {environment}", persist_result=False)
async def health_check(environment: str = "staging") -> State[Any]:
    """Check whether a run could start now, and touch nothing.

    Args:
        environment: An environment of platform.yaml.
    """
    settings = load()
    catalogue = Catalogue(settings.experiments)
    where, time = catalogue.platform.environment(environment), clock(settings)
    halted = await _lever(settings, where, catalogue.platform.chaos_namespace, time)
    checks = [halted, *await examine(settings, catalogue, where, time)]
    await acreate_markdown_artifact(
        markdown=table(environment, checks), key="health", description=f"Health of {environment}"
    )
    bad = [f"{check.name}: {check.found}" for check in checks if not check.ok]
    if bad:
        return Failed(name="Not well", message="; ".join(bad))
    return Completed(name="Well", message=f"all {len(checks)} checks are well")


async def _lever(settings: Settings, where: Environment, namespace: str, time: Clock) -> Check:
    """How the safety lever stands, which Prefect shows from now on."""
    try:
        async with Cluster.connect(
            where.context, clock=time, call_timeout=settings.kubernetes_timeout, check=False
        ) as cluster:
            state = await lever.read(cluster, namespace)
    except GamedayError as error:
        return Check("safety lever", False, error.message, error.hint)
    await safety_lever.show(state, where.name)
    return Check("safety lever", not state.engaged, str(state), "`gameday resume` releases it.")


def table(environment: str, checks: Sequence[Check]) -> str:
    """The checks for people, in Markdown."""
    rows = "".join(
        f"| {'ok' if one.ok else '**FAIL**'} | {cell(one.name)} | {cell(one.found)} | {cell(one.hint)} |\n"
        for one in checks
    )
    return f"# Health of {cell(environment)}\n\n| | What | Found | To do |\n|---|---|---|---|\n{rows}"
