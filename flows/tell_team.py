"""Why: Prefect's own notifications reach Slack's hosts only, and swallow what could not be delivered.

An automation starts this for a run that is late or stuck; it speaks through our own client.
"""

# No postponed annotations here, as in ``run_experiment``.

from typing import Annotated, Any
from uuid import UUID

from prefect import flow, get_run_logger
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings
from prefect.states import Completed, Failed
from pydantic import Field

from gameday.clients.slack import Message, attempt, messenger
from gameday.errors import UsageError
from gameday.settings import load
from gameday.spec.catalogue import Catalogue
from gameday.typed import one_line


@flow(name="tell-team", flow_run_name="tell the team", persist_result=False)
async def tell_team(
    flow_run: str,
    what: Annotated[str, Field(min_length=3)],
    todo: str = "",
    environment: str = "staging",
    only_unbegun: bool = False,
) -> State[Any]:
    """Tell an environment's channel of a flow run.

    Args:
        flow_run: The id of the flow run in Prefect.
        what: What is wrong with it.
        todo: What somebody should do.
        environment: An environment of platform.yaml; that of the flow run counts, where it has one.
        only_unbegun: Tell nobody if the run has begun by now: this one may have waited for a worker, too.
    """
    settings = load()
    try:
        async with get_client() as client:
            found = await client.read_flow_run(UUID(flow_run))
    except (ValueError, ObjectNotFound):
        raise UsageError(f"Prefect knows no flow run {flow_run!r}") from None
    if only_unbegun and (
        found.start_time is not None or (found.state is not None and found.state.is_final())
    ):
        return Completed(name="No need", message=f"{_called(found)} has begun, or is over, by now")
    where = Catalogue(settings.experiments).platform.environment(
        str(found.parameters.get("environment", environment))
    )
    url = get_current_settings().ui_url
    message = Message(
        f"{_called(found)} {one_line(what)}. {one_line(todo)}".strip(),
        title="A run needs a look",
        link=("The run in Prefect", f"{url}/runs/flow-run/{found.id}") if url else None,
    )
    sender = messenger(settings, get_run_logger().warning)
    delivery = await attempt(sender.open_thread(where.channel, message))
    if delivery.ok:
        return Completed(name="Told", message=f"{where.channel}: {message.text}")
    return Failed(name="Not told", message=f"{delivery.why} {delivery.hint}".strip())


def _called(run: FlowRun) -> str:
    """What it is for people: until it begins, Prefect calls it by two words that nobody has chosen."""
    what = run.parameters.get("experiment") or run.parameters.get("suite")
    return one_line(f"{what} on {run.parameters.get('environment', '?')}" if what else run.name)
