"""How fast 1,000 faults end while the API server is in trouble: ``gameday stop --all`` beside ``kubectl``.

Every call of the API server is answered after 200 ms, and one in ten fails with a 500. ``kubectl``
gives up where a call fails, so it is started again until it ends well: the number of attempts is
printed. Both must end everything; what either says on the way is not judged.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import httpx

from benchmarks.bench_stop import create, left, stop_by_gameday, stop_by_kubectl
from benchmarks.measuring import NotMeasuredError, Spread, head, say, table
from benchmarks.surroundings import Box, clean_environment, sandbox

_LATENCY_S: Final = 0.2
_FAILING: Final = 0.1
_ATTEMPTS: Final = 20

Way = Callable[[dict[str, str], Path], object]
_WAYS: Final[dict[str, Way]] = {"gameday stop --all": stop_by_gameday, "kubectl delete": stop_by_kubectl}


def trouble(box: Box, *, begin: bool) -> None:
    """Make every call slow and one in ten fail, or put everything back."""
    url = f"{box.sandbox.url}/control/kubernetes"
    httpx.delete(f"{url}/", trust_env=False, timeout=60).raise_for_status()
    if begin:
        for lever, body in (("stall", {"seconds": _LATENCY_S}), ("fail", {"status": 500, "share": _FAILING})):
            httpx.post(f"{url}/{lever}", json=body, trust_env=False, timeout=60).raise_for_status()


def until_done(way: Way, env: dict[str, str], directory: Path) -> int:
    """Call ``way`` until it ends well; how often that was."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            way(env, directory)
        except (NotMeasuredError, subprocess.SubprocessError):
            continue
        return attempt
    raise NotMeasuredError(f"it did not end well in {_ATTEMPTS} attempts")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="100 faults, once")
    count, times = (100, 1) if parser.parse_args().quick else (1000, 3)
    if shutil.which("kubectl") is None:
        raise SystemExit("kubectl is not on the PATH: there is nothing to compare with")
    head(f"{count} faults ended while each call takes {_LATENCY_S * 1000:.0f} ms and one in ten fails")
    walls: dict[str, list[float]] = {name: [] for name in _WAYS}
    attempts: dict[str, list[int]] = {name: [] for name in _WAYS}
    for _ in range(times):
        for name, way in _WAYS.items():
            with tempfile.TemporaryDirectory() as temporary, sandbox(mode="live") as box:
                os.environ["KUBECONFIG"] = box.env["KUBECONFIG"]
                env = clean_environment(Path(temporary), box.env)
                # Once for nothing, so that kubectl has its discovery cached.
                stop_by_kubectl(env, Path(temporary))
                asyncio.run(create(count))
                trouble(box, begin=True)
                began = time.perf_counter()
                attempts[name].append(until_done(way, env, Path(temporary)))
                walls[name].append(time.perf_counter() - began)
                trouble(box, begin=False)
                if remaining := asyncio.run(left()):
                    raise NotMeasuredError(f"{name} ended well, but {remaining} of {count} faults are left")
            say(f"{name}: {walls[name][-1]:.1f} s in {attempts[name][-1]} attempts")
    rows = [(name, Spread.of(walls[name]), max(attempts[name])) for name in _WAYS]
    table(("by", "until all are gone, s", "attempts, most"), rows)


if __name__ == "__main__":
    main()
