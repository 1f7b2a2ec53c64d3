"""The form by which a person starts a run in the Prefect UI.

The same flow as ``run-experiment``, with fields that the UI shows as selects, checks before anything
starts and asks for where they must be filled in.
"""

# No postponed annotations here, as in ``run_experiment``.

from collections.abc import Callable
from typing import Annotated, Any, Final

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import Field

from flows.hooks import end_faults_of_flow_run
from flows.run_experiment import run_experiment
from gameday.errors import GamedayError
from gameday.settings import load
from gameday.spec.catalogue import Catalogue

_DURATION: Final = r"^((\d+(\.\d+)?(ms|s|m|h))+)?$"
# A reason has a letter in it: blanks tell nobody anything.
_SAYS_SOMETHING: Final = r"\w"


def _one_of(names: Callable[[Catalogue], list[str]]) -> dict[str, Any]:
    """Have the form offer ``names`` of the catalogue. What is chosen is checked by the run, too."""
    try:
        return {"enum": names(Catalogue(load().experiments))}
    except GamedayError:
        # The run, or a hook of one that died, imports this, too: it will say what is wrong there.
        return {}


def _environments(catalogue: Catalogue) -> list[str]:
    return [one.name for one in catalogue.platform.environments]


ExperimentName = Annotated[str, Field(json_schema_extra=_one_of(lambda catalogue: catalogue.names))]
EnvironmentName = Annotated[str, Field(json_schema_extra=_one_of(_environments))]


@flow(
    name="run-by-hand",
    flow_run_name="{experiment} on {environment}",
    persist_result=False,
    on_cancellation=[end_faults_of_flow_run],
    on_crashed=[end_faults_of_flow_run],
    on_failure=[end_faults_of_flow_run],
)
async def run_by_hand(
    experiment: ExperimentName,
    reason: Annotated[str, Field(min_length=3, pattern=_SAYS_SOMETHING)],
    requested_by: Annotated[str, Field(min_length=2, pattern=_SAYS_SOMETHING)],
    environment: EnvironmentName = "staging",
    duration: Annotated[str, Field(pattern=_DURATION, examples=["5m", "90s"])] = "",
    dry_run: bool = False,
) -> State[Any]:
    """Run one experiment of the catalogue in one environment.

    Args:
        experiment: What is to be broken. `gameday show NAME` tells what each does.
        reason: Why it is run now. Everybody who is told of the run reads it.
        requested_by: Your name. Whoever asks for a run cannot approve it.
        environment: Where.
        duration: Stretch or shrink the whole execution to this, such as 5m or 90s. Empty: as declared.
        dry_run: Stop after the plan: everything is asked, nothing is touched.
    """
    return await run_experiment.fn(
        experiment,
        environment,
        duration=duration or None,
        dry_run=dry_run,
        requested_by=requested_by,
        reason=reason,
    )
