"""Why: whoever watches a run in the Prefect UI sees on one page what is injected where and how it goes.

Hears the run's events and makes one page of them; ``progress`` shows it. It asks nobody anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from gameday.journal.store import Event
from gameday.monitor.judge import State, figure
from gameday.redaction import redacted
from gameday.report.templating import cell
from gameday.spec.base import format_duration

_STATES: Final[Mapping[str, str]] = {
    State.OK: "ok",
    State.BREACH: "outside, not for long yet",
    State.BROKEN: "**outside for too long**",
    State.OVER: "**past the guardrail**",
    State.UNKNOWN: "**unknown**",
}
_PAUSE: Final = "after "
_NOTES: Final = 10


@dataclass
class Board:
    """What is known of a run now."""

    title: str = ""
    verdict: str = ""
    stage: str = ""
    stages_over: bool = False
    looking_at: str = ""
    """A stage, ``after`` one, or the recovery: what the last sample was of."""
    left_s: float = 0.0
    missing: Sequence[str] = ()
    faults: dict[str, str] = field(default_factory=dict)
    ended: int = 0
    unproved: bool = False
    signals: Sequence[Mapping[str, Any]] = ()
    signals_at: str = ""
    notes: list[str] = field(default_factory=list)
    at: str = ""

    def hear(self, event: Event) -> None:
        """Take an event of the run in."""
        data = event.data
        self.at = f"{event.at:%H:%M:%S}"
        match event.kind:
            case "run":
                self.title = event.message
            case "phase":
                self.stages_over = bool(self.stage)
            case "stage":
                self.stage, self.left_s = event.message, float(data.get("duration_s", 0.0))
                self.looking_at = str(data.get("stage", ""))
            case "injected":
                self.faults[str(data.get("fault", ""))] = event.message
            case "ended":
                self.ended += self.faults.pop(str(data.get("fault", "")), None) is not None
            case "sample":
                self._take_sample(data)
            case "verdict":
                self.verdict = event.message
            case "stop" | "alert" | "warning" | "recovery":
                self.notes.append(f"{self.at} {event.message}")

    def _take_sample(self, data: Mapping[str, Any]) -> None:
        self.looking_at, self.missing = str(data.get("stage", "")), data.get("missing", ())
        # A sample of the recovery has neither.
        self.left_s = float(data.get("left_s", 0.0))
        if "signals" in data:
            self.signals, self.signals_at = data["signals"], self.at

    def close(self, *, proved: bool) -> None:
        """Take note of what the run's last stop found: whether it is proved that nothing is left."""
        self.unproved = not proved
        if proved:
            self.ended += len(self.faults)
            self.faults.clear()

    def markdown(self) -> str:
        """The page."""
        injected = "".join(f"- {cell(what)}\n" for what in self.faults.values()) or "Nothing.\n"
        page = f"# {cell(self.title)}\n\nAs of {self.at or 'the start'} UTC: {self._standing()}\n"
        page += f"\n## Injected now\n\n{injected}"
        if self.unproved:
            page += "\nThat this has ended is **not proved**: look below, and at the cluster.\n"
        if self.ended:
            page += f"\nEnded before, each proved: {self.ended}.\n"
        if self.signals:
            rows = "".join(_row(one) for one in self.signals)
            page += f"\n## Signals at {self.signals_at} UTC\n\n"
            page += f"| Signal | Worst service | Value | Limit | State |\n|---|---|---|---|---|\n{rows}"
        if self.notes:
            page += "\n## What happened\n\n" + "".join(f"- {cell(note)}\n" for note in self.notes[-_NOTES:])
        return redacted(page)

    def _standing(self) -> str:
        """Where the run is, in a sentence."""
        if self.verdict:
            return f"it is over. **{cell(self.verdict)}**"
        if not self.stage:
            return "nothing has been injected yet."
        if self.stages_over:
            missing = f" Not well: {cell('; '.join(self.missing))}." if self.missing else ""
            return f"nothing more is injected. Is the platform well again?{missing}"
        left = format_duration(timedelta(seconds=round(self.left_s)))
        if self.looking_at.startswith(_PAUSE):
            return f"{cell(self.stage)}, is over. Nothing is injected until the next, in {left}."
        return f"**{cell(self.stage)}**, {left} left."


def _row(one: Mapping[str, Any]) -> str:
    if one.get("value") is None:
        value = str(one.get("unknown") or "none")
    else:
        value = figure(one["value"], str(one.get("unit", "")))
    service = str(one.get("service") or "all services")
    cells = (str(one.get("signal", "")), service, value, str(one.get("limit", "")))
    state = _STATES.get(str(one.get("state", "")), _STATES[State.UNKNOWN])
    return f"| {' | '.join(map(cell, cells))} | {state} |\n"
