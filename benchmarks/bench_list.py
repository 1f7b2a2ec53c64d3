"""How fast ``gameday list`` answers, cold, beside the interpreter alone and ``gameday --help``.

Each run is a process of its own on files that the operating system has in its cache. It also tells
which imports the time goes to.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks.measuring import Spread, head, run, say, table
from benchmarks.surroundings import clean_environment, gameday_command

_LIMIT_S = 60
_LISTED = 12
_IMPORT = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \|\s+(\S+)")


def imports(directory: Path, env: dict[str, str]) -> tuple[Counter[str], float]:
    """Seconds of import by top-level package, each counted for itself alone, and the process's wall time."""
    command = [sys.executable, "-X", "importtime", "-m", "gameday.cli.main", "list"]
    finished = run(command, env=env, directory=directory, limit_s=_LIMIT_S).require(0)
    by_package: Counter[str] = Counter()
    for own, _, name in _IMPORT.findall(finished.err):
        by_package[name.partition(".")[0]] += int(own)
    return by_package, finished.wall_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    times = 5 if parser.parse_args().quick else 20
    head("gameday list, cold")
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "gameday --help": [*gameday_command(), "--help"],
        "gameday list": [*gameday_command(), "list"],
        "gameday list -o json": [*gameday_command(), "list", "-o", "json"],
    }
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        env = clean_environment(directory)
        taken: dict[str, list[float]] = {name: [] for name in commands}
        peaks: dict[str, float] = dict.fromkeys(commands, 0.0)
        # In turn, so that the machine's noise falls on all alike; the first round only warms the cache.
        for number in range(times + 1):
            for name, command in commands.items():
                finished = run(command, env=env, directory=directory, limit_s=_LIMIT_S).require(0)
                if number:
                    taken[name].append(finished.wall_s)
                    peaks[name] = max(peaks[name], finished.peak_mib or 0.0)
        by_package, wall_s = imports(directory, env)
    bare = Spread.of(taken["python -c pass"]).median
    rows = []
    for name, values in taken.items():
        spread = Spread.of(values)
        rows.append((name, spread, f"{spread.median / bare:.1f} x", peaks[name]))
    table(("command", "wall, s", "of the bare interpreter", "peak, MiB"), rows)
    total = by_package.total()
    say(f"Imports of `gameday list`: {total / 1e6:.2f} s of {wall_s:.2f} s while they are being traced.")
    table(
        ("package", "own import time, ms", "share"),
        [
            (name, microseconds / 1000, f"{microseconds / total:.0%}")
            for name, microseconds in by_package.most_common(_LISTED)
        ],
    )


if __name__ == "__main__":
    main()
