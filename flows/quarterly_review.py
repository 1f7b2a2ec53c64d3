"""The flow of the quarterly review: it looks back, writes the review, and touches no platform."""

# No postponed annotations here, as in ``run_experiment``.

from typing import Any

from prefect import flow, get_run_logger
from prefect.artifacts import acreate_markdown_artifact

from gameday.analysis import periods
from gameday.journal.store import Journal
from gameday.report.quarter import Written, made, markdown, write
from gameday.settings import Settings, clock, load
from gameday.spec.catalogue import Catalogue


@flow(name="quarterly-review", persist_result=False)
async def quarterly_review(quarter: str = "", environment: str = "") -> dict[str, Any]:
    """Write the review of a quarter, and show it in Prefect.

    Args:
        quarter: Such as 2026Q4; without it the last one that is over.
        environment: An environment of platform.yaml; without it all of them.
    """
    written = await _written(load(), quarter, environment)
    found = written.review
    await acreate_markdown_artifact(
        markdown=markdown(found),
        key="quarterly-review",
        description=f"{found.quarter.label}: {found.in_short}",
    )
    return {"quarter": found.quarter.label, "page": str(written.page), "words": found.in_short}


async def _written(settings: Settings, wanted: str, environment: str) -> Written:
    now = clock(settings).now()
    period = periods.quarter(wanted) if wanted else periods.before(periods.quarter_of(now))
    async with Journal.open(settings.database_url) as journal:
        found = await made(
            journal,
            Catalogue(settings.experiments),
            period,
            environment=environment,
            now=now,
            warn=get_run_logger().warning,
            sandbox=settings.on_sandbox,
        )
    return await write(found, settings.reports_dir)
