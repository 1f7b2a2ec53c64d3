"""Why: what is broken on purpose is read by people who read no YAML; their page follows from the files.

``python docs/reference/make_catalogue.py`` writes catalogue.md anew; a test fails where it lags.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gameday.plan.objects import in_words
from gameday.spec.base import format_duration
from gameday.spec.catalogue import Catalogue
from gameday.spec.experiment import Experiment, Stage
from gameday.spec.faults import Fault, OutsideFault
from gameday.spec.suite import Suite

PAGE = Path(__file__).with_name("catalogue.md")

_HEAD = """\
# The catalogue

What is broken on purpose, how often, and what each stage must show. This page is made from the files of
`experiments/` by `python docs/reference/make_catalogue.py`.

Each experiment holds on the sandbox's platform as shipped, and is disproved there where what it looks for is
missing: a breaker, a pool, a retry, a fallback, a limit, a volume. The frequencies are those of the guide. A
stage lasts as long as it takes to show what it must; `--duration` stretches all of them alike.
"""


def render(catalogue: Catalogue) -> str:
    """The page."""
    found = [catalogue.experiment(name) for name in catalogue.names]
    rows = [
        f"| [{one.name}](#{one.name}) | {one.title} | {one.category} | {one.frequency} | "
        f"{', '.join(one.environments)} | {format_duration(one.duration)} |"
        for one in found
    ]
    parts = [
        _HEAD,
        "| Experiment | Breaks | Category | How often | Where | Takes |\n|---|---|---|---|---|---|",
        "\n".join(rows) + "\n",
        *(_suite(catalogue.suite(name)) for name in catalogue.suites),
        *(_section(one) for one in found),
    ]
    return "\n".join(parts)


def _suite(suite: Suite) -> str:
    names = ", ".join(f"[{one.experiment}](#{one.experiment})" for one in suite.experiments)
    return f"The suite **{suite.name}** ({suite.frequency}) runs one after another: {names}.\n"


def _section(experiment: Experiment) -> str:
    runbook = ""
    if experiment.runbook is not None:
        name = Path(experiment.runbook).name
        runbook = f" Runbook: [{name}](../runbooks/{name})."
    lines = [
        f"## {experiment.name}\n",
        f"**{experiment.hypothesis}**\n",
        f"Owner: {experiment.owner}.{runbook}\n",
        "| Stage | Faults | Must show |",
        "|---|---|---|",
        *(_row(stage) for stage in experiment.stages),
        "",
    ]
    return "\n".join(lines)


def _row(stage: Stage) -> str:
    faults = "; ".join(f"{fault.kind} {in_words(fault)} on {_target(fault)}" for fault in stage.faults)
    lasts = f"{format_duration(stage.duration)}, then {format_duration(stage.settle)}"
    return f"| {stage.name} ({lasts}) | {faults} | {'; '.join(_showings(stage))} |"


def _showings(stage: Stage) -> Iterator[str]:
    for one in stage.must_show:
        where = f" of {', '.join(one.services)}" if one.services else ""
        yield f"{one.name}: {f'`{one.signal}`' if one.signal else 'a query'}{where} {one}"
    if stage.gradual is not None:
        yield f"how much it bears: {stage.gradual.parameter} {', '.join(map(str, stage.gradual.strengths))}"


def _target(fault: Fault) -> str:
    if isinstance(fault, OutsideFault):
        return "what lies outside Kubernetes"
    if isinstance(fault.target, str):
        return fault.target
    return (
        ", ".join(f"{key}={value}" for key, value in fault.target.label_selectors.items()) or "selected pods"
    )


if __name__ == "__main__":
    PAGE.write_text(render(Catalogue()), encoding="utf-8")
