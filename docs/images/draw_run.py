"""Why: the README's picture of a run is a run, drawn from a journal, so that it can be made anew.

``python docs/images/draw_run.py [RUN]`` draws the lines of a run (the latest without RUN) as SVG, the
samples thinned out. Nothing in the picture is fetched from outside when it is shown.
"""

from __future__ import annotations

import asyncio
import io
import re
import sys
from pathlib import Path

from rich.console import Console

from gameday.cli.live import Follower
from gameday.journal.store import Journal
from gameday.settings import load

PICTURE = Path(__file__).with_name("run.svg")
_EVERY_NTH_SAMPLE = 6
_COLUMNS = 118


async def draw(run: str | None) -> None:
    """Write the picture."""
    console = Console(record=True, width=_COLUMNS, file=io.StringIO(), force_terminal=True)
    follower = Follower(console)
    samples = 0
    async with Journal.open(load().database_url) as journal:
        record = await journal.find(run) if run else (await journal.latest(1))[0]
        assert record is not None, f"no run {run}"
        for event in await journal.events(record.run):
            samples = samples + 1 if event.kind == "sample" else 0
            if event.kind not in {"sample", "report"} or samples % _EVERY_NTH_SAMPLE == 2:
                follower.show(event)
    svg = console.export_svg(title=f"gameday run {record.experiment} --env {record.environment} --sandbox")
    # Rich's font is fetched from outside; a picture in a repository must stand alone.
    PICTURE.write_text(re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL), encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(draw(sys.argv[1] if len(sys.argv) > 1 else None))
