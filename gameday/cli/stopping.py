"""Why: ``stop`` and ``halt`` ask for the same things and tell of a stop in the same words.

Their options, and the report for people. Measured cold, so it imports no more than a stop needs.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from gameday.cli import complete
from gameday.cli.options import duration
from gameday.cli.output import note

if TYPE_CHECKING:
    from gameday.clock import Clock
    from gameday.safety.stop_report import StopEvent, StopReport

WhereOption = Annotated[
    str | None,
    typer.Option(
        "--env",
        "-e",
        help="The environment whose cluster is meant; the kubeconfig's current one without it.",
        autocompletion=complete.environments,
    ),
]
WithinOption = Annotated[
    timedelta,
    typer.Option(
        parser=duration,
        metavar="DURATION",
        show_default="1m",
        help="How long to wait until all are gone.",
    ),
]
ForceOption = Annotated[
    bool,
    typer.Option(
        "--force", help="At the end, let go what hangs without a recovery, and replace its target pods."
    ),
]
RestartOption = Annotated[
    bool,
    typer.Option(
        "--restart",
        help="Afterwards restart the services that were hit, pod by pod, and wait for it (5m at most).",
    ),
]
IncidentOption = Annotated[
    bool | None,
    typer.Option(
        "--incident/--no-incident",
        help="Tell incident management, and open a post-incident review.",
        show_default=False,
    ),
]


def clock_at_hand() -> Clock:
    """The sandbox's clock where one is named and answers; a stop must not depend on it."""
    from gameday import settings  # noqa: PLC0415 - after --sandbox has set its variables

    return settings.clock_at_hand(settings.load(), partial(note, style="yellow"))


def progress(event: StopEvent) -> None:
    """Tell what a stop has just done, on stderr."""
    # The last one is the head of the report, which follows.
    if not str(event).startswith("Stopped "):
        note(str(event))


def told(report: StopReport) -> list[str]:
    """The report for people; what went wrong with many kinds in the same way is said once."""
    if not report.unseen:
        return report.lines()
    bare = replace(report, unseen={}, failed_calls=())
    head, *rest = bare.lines()
    if not report.outcomes:
        head = f"Stop of {report.scope}: nothing was found, but not everything could be looked at."
    kinds = ", ".join(sorted(report.unseen))
    first, why = next(iter(report.unseen.items()))
    from gameday.spec.kinds import plural  # noqa: PLC0415 - as the rest

    look = ",".join(plural(kind) for kind in sorted(report.unseen))
    if len(set(report.unseen.values())) > 1:
        why = f"{first}: {why}"
    return [
        head,
        *rest,
        f"Not known to be over, {len(report.unseen)} of the kinds could not be listed: {kinds}.",
        f"Why: {why}",
        f"To do: mend that and stop again, or look with `kubectl get {look} -A`.",
    ]
