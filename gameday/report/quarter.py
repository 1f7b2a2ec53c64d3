"""Why: a quarterly review is read in a meeting, in a pull request and by programs, and says the same there.

Writes a ``Review`` as a page, as Markdown and as JSON; nothing is worked out here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from gameday.analysis.periods import Period
from gameday.analysis.quarter import Review, review
from gameday.background import one_at_a_time
from gameday.errors import UsageError
from gameday.journal.store import Journal
from gameday.redaction import redacted
from gameday.report import templating
from gameday.report.past import found, known
from gameday.report.templating import save
from gameday.spec.catalogue import Catalogue


@dataclass(frozen=True, slots=True)
class Written:
    """A review and its files."""

    review: Review
    page: Path
    markdown: Path
    data: Path


async def made(
    journal: Journal,
    catalogue: Catalogue,
    wanted: Period,
    *,
    environment: str = "",
    now: datetime,
    warn: Callable[[str], None],
    sandbox: bool = False,
) -> Review:
    """The review of the quarter ``wanted``, in ``environment`` or everywhere. Raises ``UsageError``.

    Of runs on clusters, or of those on the ``sandbox``.
    """
    if wanted.begin > now:
        raise UsageError(f"{wanted.label} has not begun", hint="Name a quarter that has.")
    past = await known(journal, catalogue, environment, now, warn, sandbox=sandbox)
    findings = await found(journal, wanted, environment, sandbox=sandbox)
    # scipy and a thousand rows: not on the loop.
    return await one_at_a_time(partial(review, past, findings, wanted))


async def write(made: Review, directory: Path) -> Written:
    """Write the review into ``directory``. Raises ``ReportError``."""
    return await one_at_a_time(partial(_write, made, directory))


def _write(made: Review, directory: Path) -> Written:
    about = [made.quarter.label, made.environment, "sandbox" if made.sandbox else ""]
    name = "-".join(["review", *filter(None, about)])
    return Written(
        made,
        save(page(made), directory / f"{name}.html"),
        save(markdown(made), directory / f"{name}.md"),
        save(redacted(made.model_dump_json(by_alias=True, indent=2)) + "\n", directory / f"{name}.json"),
    )


def markdown(made: Review) -> str:
    """The review as Markdown."""
    return redacted(templating.markdown.get_template("quarter.md.j2").render(review=made))


def page(made: Review) -> str:
    """The review as a page that needs nothing else."""
    # matplotlib takes half a second to import: only for whoever writes a page.
    from markupsafe import Markup  # noqa: PLC0415

    from gameday.report.trend_chart import in_words, svg  # noqa: PLC0415

    metrics = {one.name: one for one in made.metrics}
    drawn = [
        # Drawn by matplotlib from numbers and our own words.
        (in_words(trend, metrics[trend.metric]), Markup(svg(trend, metrics[trend.metric])))  # noqa: S704
        for trend in made.by_month
        if any(one.value.value is not None for one in trend.points)
    ]
    return redacted(templating.html.get_template("quarter.html.j2").render(review=made, charts=drawn))
