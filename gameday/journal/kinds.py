"""Why: whoever reads a run's events, a program above all, must be able to know which kinds there are.

The one list of them, with what each tells and the keys of its data. ``Run.tell`` takes no other kind, so
that a type checker finds one which is missing here; ``docs/reference/events.md`` is made from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

EventKind = Literal[
    "alert",
    "analysis",
    "approval",
    "baseline",
    "check",
    "dry-run",
    "ended",
    "gradual",
    "health",
    "injected",
    "load",
    "message",
    "note",
    "phase",
    "recovered",
    "recovery",
    "remark",
    "replaced",
    "report",
    "run",
    "sample",
    "shown",
    "stage",
    "stop",
    "verdict",
    "warning",
]


class Told(NamedTuple):
    """What an event of some kind tells; its data may have these keys."""

    what: str
    data: tuple[str, ...] = ()


EVENTS: Final[Mapping[EventKind, Told]] = {
    "run": Told("The run began: its title, and what it watches.", ("run", "watches")),
    "phase": Told("One of the three phases began."),
    "note": Told("Something worth knowing that is no reason to worry."),
    "warning": Told(
        "Something went wrong, or cannot be proved, that ends nothing by itself.",
        ("text", "fault", "service", "ready", "of", "pods"),
    ),
    "health": Told("The platform was looked at, before or after the faults.", ("bad",)),
    "check": Told("Something that could have refused the run did not."),
    "approval": Told("What is asked of people, and what they answered.", ("lines", "request", "checklist")),
    "message": Told("People were told, in a channel.", ("channel", "by")),
    "baseline": Told("What is normal was written down.", ("window_s", "baselines")),
    "load": Told(
        "The run's own load began, or ended with what became of its requests.",
        ("sent", "good", "bad", "unanswered", "dropped", "late"),
    ),
    "stage": Told("A stage begins.", ("stage", "duration_s")),
    "injected": Told("A fault is proved to be in.", ("fault", "fault_kind", "what", "stage", "pods")),
    "sample": Told(
        "All signals of one moment, judged; each value is in the observations, too.",
        ("stage", "left_s", "signals", "missing"),
    ),
    "alert": Told(
        "An alert fired, resolved, or did not come in time: an `AlertSeen`.",
        (
            *("alert", "stage", "expected", "services", "firedAt"),
            *("took", "within", "required", "before"),
        ),
    ),
    "ended": Told("A fault is proved to be over.", ("fault", "took_s")),
    "replaced": Told("What was killed was replaced.", ("fault", "service", "ready", "of", "pods")),
    "recovered": Told("How each service came back after a stage.", ("stage", "services")),
    "shown": Told(
        "Whether a stage showed what it must, which services did not, and whether Prometheus answered.",
        ("stage", "name", "held", "evidence", "answered", "services"),
    ),
    "gradual": Told("A step of a gradual stage held, or the whole result.", ("stage", "result")),
    "stop": Told(
        "A line of an emergency stop, whoever made it; `clean`: all is proved to be over.", ("clean",)
    ),
    "recovery": Told(
        "Whether, and how fast, the steady state came back after the last fault.",
        ("in_time", "blind", "took_s"),
    ),
    "verdict": Told("How the run ended, and why.", ("verdict", "reasons", "hint")),
    "dry-run": Told("A dry run met no objection; it is in no journal."),
    "analysis": Told("What the analysis found, in short."),
    "report": Told("Where the report is.", ("path",)),
    "remark": Told("A person wrote something, with `gameday note`.", ("by", "intervention")),
}
"""In the order in which a run usually tells them."""
