"""Why: what a run showed belongs where people look when the same happens without anybody having planned it.

Proposes a change of the runbook that an experiment names: a section of its own, between marks, with the
newest facts. As a diff, because people decide what stands in their runbooks.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from gameday.report.data import ReportData
from gameday.report.templating import cell, filters

_NEWEST: Final = "Newest run: "


@dataclass(frozen=True, slots=True)
class Proposal:
    """A change of ``file``, as a diff that ``git apply`` takes."""

    file: str
    diff: str


def propose(data: ReportData, file: str, root: Path) -> tuple[Proposal | None, str]:
    """What this run would change in the runbook ``file`` of ``root``, or None and why nothing.

    ``file`` is relative to ``root``, as the experiment names it.
    """
    path = root / file
    if data.analysis is None:
        return None, "Nothing to change: the run was not analysed."
    try:
        before = path.read_text(encoding="utf-8") if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        return None, f"{file} cannot be read ({error}), so no change of it can be proposed."
    after = _with(before, data)
    if _facts(before) == _facts(after):
        return None, f"Nothing to change: {file} says already what this run showed."
    return Proposal(file, _diff(before, after, file, exists=path.exists())), ""


def _with(text: str, data: ReportData) -> str:
    """``text`` with this experiment's section in place of the one that it had, or at its end."""
    name = data.run.experiment
    begin, end = f"<!-- runs of {name} -->", f"<!-- end of runs of {name} -->"
    section = "\n".join([begin, *_section(data), end])
    if begin in text and end in text:
        head, _, rest = text.partition(begin)
        return f"{head}{section}{rest.partition(end)[2]}"
    head = f"{text.rstrip()}\n\n" if text.strip() else ""
    return f"{head}{section}\n"


def _section(data: ReportData) -> Iterator[str]:
    run, analysis = data.run, data.analysis
    assert analysis is not None
    seconds, whole = filters["seconds"], filters["whole"]
    yield f"## What runs of {cell(run.experiment)} showed"
    yield ""
    yield f"{_NEWEST}{run.started_at:%Y-%m-%d}, {cell(run.environment)}, {cell(run.run)}: {data.verdict}."
    yield ""
    for one in analysis.detections:
        if one.took is None:
            yield f"- `{cell(one.stage)}` shows in {cell(one.by)}."
        else:
            by = f"{one.kind} {cell(one.by)}"
            yield f"- `{cell(one.stage)}` shows {whole(one.took)} after it begins: {by}."
    for back in data.comebacks:
        if back.took_s is not None and back.took_s > 0:
            words = f"well again {seconds(back.took_s)} after {cell(back.since)}"
            yield f"- {cell(back.service)} is {words} in `{cell(back.stage)}`."
        elif back.outcome == "not-back":
            yield f"- {cell(back.service)} does not come back by itself after `{cell(back.stage)}`: help it."
    worse = [one for one in analysis.effects if one.change == "worse"]
    if worse:
        names = sorted({f"{cell(one.signal)} of {cell(one.service)}" for one in worse})
        yield f"- Look at first: {', '.join(names)}."
    for alert in analysis.alerts:
        if alert.expected and alert.fired_at is None and not alert.before:
            yield f"- {cell(alert.alert)} does not fire for `{cell(alert.stage)}`: nobody is told."
    for pattern in analysis.patterns:
        yield f"- Expect {pattern.name.replace('-', ' ')}: {cell(' -> '.join(pattern.services))}."
    for finding in analysis.findings:
        if finding.action:
            yield f"- To do ({cell(finding.owner)}): {cell(finding.action)}"


def _facts(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith(_NEWEST)]


def _diff(before: str, after: str, file: str, *, exists: bool) -> str:
    name = PurePosixPath(file).as_posix()
    lines = difflib.unified_diff(
        before.splitlines(keepends=True),
        after.splitlines(keepends=True),
        f"a/{name}" if exists else "/dev/null",
        f"b/{name}",
    )
    # A last line without an end is said to be one, as git does.
    unended = "\n\\ No newline at end of file\n"
    return "".join(line if line.endswith("\n") else f"{line}{unended}" for line in lines)
