"""Why: whoever looks at Prefect's UI must see there that everything is halted, by whom and why.

Keeps one artifact with a fixed key, of which Prefect shows the newest and keeps the others. Whoever
turns the lever calls it; a server that is away is their business to tell.
"""

from __future__ import annotations

from typing import Final

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.sorting import ArtifactSort
from prefect.settings import get_current_settings

from gameday.redaction import redacted
from gameday.report.templating import cell
from gameday.safety.lever import LeverState, Turned

KEY: Final = "safety-lever"


async def keep_shown(state: LeverState, where: str) -> None:
    """Show how the lever ``where`` stands, unless that is what Prefect shows of it last."""
    ours = ArtifactFilter(key=ArtifactFilterKey(any_=[KEY]))
    async with get_client() as client:
        shown = await client.read_artifacts(artifact_filter=ours, sort=ArtifactSort.CREATED_DESC)
    last = next((one for one in shown if (one.description or "").startswith(f"{where}: ")), None)
    if last.data != redacted(markdown(state, where)) if last is not None else state.engaged:
        await show(state, where)


async def show(state: LeverState, where: str) -> bool:
    """Show how the lever ``where`` (an environment) stands. False where there is no Prefect API."""
    if not get_current_settings().api.url:
        return False
    artifact = ArtifactCreate(
        key=KEY,
        type="markdown",
        data=redacted(markdown(state, where)),
        description=f"{where}: {_in_a_word(state)}",
    )
    # Not by the helpers for artifacts: they are for flows and tasks, and this belongs to none.
    async with get_client() as client:
        await client.create_artifact(artifact)
    return True


def _in_a_word(state: LeverState) -> str:
    return "HALTED, nothing new starts" if state.engaged else "not engaged"


def markdown(state: LeverState, where: str) -> str:
    """How the lever stands, with its last turns."""
    told = str(state)
    head = f"# Safety lever of {cell(where)}: {_in_a_word(state)}\n\n{cell(told[:1].upper() + told[1:])}.\n"
    todo = "\n`gameday resume` releases it; it asks for a name and a reason.\n" if state.engaged else ""
    rows = "".join(_row(one) for one in reversed(state.history))
    return f"{head}{todo}\n| When (UTC) | | By | Why | Door |\n|---|---|---|---|---|\n{rows}"


def _row(one: Turned) -> str:
    cells = (cell(text) for text in (one.at, one.action, one.by, one.reason, one.source))
    return f"| {' | '.join(cells)} |\n"
