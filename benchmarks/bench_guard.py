"""What ``gameday guard`` costs with 1,000 live objects and 100 runs, and how soon it ends a bad one.

In a live sandbox, with the guard as a process of its own: the memory that it holds (VmRSS), the CPU
time of a quiet window, the calls that it makes in it, and the time from the creation of an object
that breaks a rule until it is told to go and until it is gone. Beside it: the guard with nothing in
the cluster, and the way that scripts do it, ``kubectl get`` of every kind in a loop, which gets no
judgement, no Leases and no signals to look at, and deletes what has too long a duration.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

import httpx

from benchmarks.bench_stop import manifests
from benchmarks.measuring import NotMeasuredError, Spread, cpu_seconds, head, number, say, table
from benchmarks.surroundings import Box, clean_environment, gameday_command, sandbox
from gameday.clients.chaos_mesh import ChaosMesh
from gameday.clients.kubernetes import Cluster
from gameday.clock import SystemClock
from gameday.errors import NotFoundError
from gameday.safety.lease import RENEW_EVERY, RunLeases
from gameday.spec.kinds import ALL_KINDS, RUN, plural

_OBJECTS: Final = 1000
_RUNS: Final = 100
_READY_S: Final = 120
_LOOK_S: Final = 0.01
_POLL_S: Final = 5.0
_NAMESPACE: Final = "chaos-engineering"
_GENTLE: Final[dict[str, dict[str, Any]]] = {
    "TimeChaos": {"timeOffset": "-1ms"},
    "DNSChaos": {"action": "error", "patterns": ["nothing.example.com"]},
    "NetworkChaos": {"action": "corrupt", "corrupt": {"corrupt": "0"}},
    "JVMChaos": {"action": "gc", "pid": 1},
}


class Subject:
    """A process that watches over the cluster."""

    def __init__(self, command: list[str], env: dict[str, str], directory: Path, name: str) -> None:
        """Start ``command``."""
        self.log = directory / f"{name}.log"
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                command, env=env, cwd=directory, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        self.pid = self._process.pid

    def await_ready(self) -> None:
        """Return when it leads and sees everything."""
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline and self._process.poll() is None:
            found = re.search(r"(http://127\.0\.0\.1:\d+)/metrics", self.log.read_text(errors="replace"))
            if found and httpx.get(f"{found[1]}/readyz", trust_env=False).text.strip() == "leading":
                return
            time.sleep(0.1)
        raise NotMeasuredError(f"the guard is not ready:\n{self.log.read_text(errors='replace')[-2000:]}")

    @property
    def memory_mib(self) -> float:
        """What it holds now (VmRSS)."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise NotMeasuredError("the process has gone")

    @property
    def cpu_s(self) -> float:
        """The CPU time that it and its children have used, those that have ended too."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        ended = (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
        return cpu_seconds(self.pid) + ended

    def end(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(60)


def polling_script() -> str:
    """Every kind of every namespace by kubectl, every five seconds; what lasts too long is deleted."""
    kinds = ",".join(plural(kind) for kind in ALL_KINDS)
    return f"""
import json, subprocess, time
while True:
    began = time.monotonic()
    found = subprocess.run(["kubectl", "get", "{kinds}", "-A", "-o", "json"], capture_output=True)
    for one in json.loads(found.stdout or "{{}}").get("items", ()):
        meta, lasts = one["metadata"], one["spec"].get("duration", "")
        if lasts.endswith("h") and not meta.get("deletionTimestamp"):
            subprocess.run(["kubectl", "delete", one["kind"].lower(), meta["name"], "-n", meta["namespace"],
                            "--wait=false"], capture_output=True)
    time.sleep(max(0.0, {_POLL_S} - (time.monotonic() - began)))
"""


def objects(count: int) -> Iterator[dict[str, Any]]:
    """Faults that may go on and that the platform does not feel, each of one of the runs in turn."""
    turns = zip(manifests(count), cycle(_GENTLE.items()), cycle(range(_RUNS)), strict=False)
    for body, (kind, spec), run in turns:
        common = {key: body["spec"][key] for key in ("mode", "selector", "duration")}
        labels = {RUN: f"bench-{run}"}
        yield {
            **body,
            "kind": kind,
            "metadata": {**body["metadata"], "labels": labels},
            "spec": common | spec,
        }


@contextmanager
def populated(box: Box, count: int, directory: Path) -> Iterator[None]:
    """``count`` faults in the cluster, and the runs that they are of, alive while the context is open."""
    if not count:
        yield
        return
    keeper = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.bench_guard", "--keep-runs"],
        env={**clean_environment(directory, box.env), "PYTHONPATH": str(Path(__file__).parents[1])},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert keeper.stdout is not None
    try:
        if not keeper.stdout.readline():
            raise NotMeasuredError("the runs have no Leases")
        with httpx.Client(base_url=box.sandbox.url, trust_env=False, timeout=120) as client:
            bodies = iter(objects(count))
            while batch := list(islice(bodies, 100)):
                client.post("/control/kubernetes/objects", json={"objects": batch}).raise_for_status()
        yield
    finally:
        keeper.terminate()
        keeper.wait(30)


async def keep_runs() -> None:
    """Hold the Leases of all runs until ended."""
    clock = SystemClock()
    async with Cluster.connect(clock=clock) as cluster:
        runs = [RunLeases(cluster, f"bench-{n}", [], namespace=_NAMESPACE, clock=clock) for n in range(_RUNS)]
        await asyncio.gather(*(run.acquire() for run in runs))
        print("ready", flush=True)
        while True:
            await clock.sleep(RENEW_EVERY)
            await asyncio.gather(*(run.renew() for run in runs))


async def reactions(times: int) -> tuple[list[float], list[float]]:
    """By object: the seconds from its creation until it was told to go, and until it was gone."""
    told, gone = [], []
    async with Cluster.connect(clock=SystemClock()) as cluster:
        chaos = ChaosMesh(cluster.api)
        for place in range(times):
            body = next(iter(manifests(1)))
            body["kind"] = "TimeChaos"
            body["metadata"]["name"] = f"bad-{place}"
            body["spec"] = {
                **{key: body["spec"][key] for key in ("mode", "selector")},
                "timeOffset": "-1m",
                "duration": "5h",
            }
            ref = (await chaos.create(body)).ref
            began = time.perf_counter()
            noticed: float | None = None
            while time.perf_counter() - began < _READY_S:
                try:
                    state = await chaos.get(ref)
                except NotFoundError:
                    break
                if noticed is None and state.meta.deleting is not None:
                    noticed = time.perf_counter() - began
                await asyncio.sleep(_LOOK_S)
            else:
                raise NotMeasuredError(f"{ref} was never ended")
            gone.append(time.perf_counter() - began)
            told.append(noticed if noticed is not None else gone[-1])
    return told, gone


async def live() -> int:
    """How many objects there are."""
    async with Cluster.connect(clock=SystemClock()) as cluster:
        chaos = ChaosMesh(cluster.api)
        return sum(len(found) for found in await asyncio.gather(*map(chaos.metadata, _GENTLE)))


def calls(box: Box) -> int:
    """How often the API server has been asked so far."""
    return int(box.get("/control/kubernetes/calls")["total"])


def measure(
    box: Box, subject: Subject, count: int, quiet_s: float, times: int, *, ready: bool
) -> tuple[object, ...]:
    """One row: what the process costs with ``count`` objects, and how soon it reacts."""
    try:
        if ready:
            subject.await_ready()
        time.sleep(5)
        cpu, asked, began = subject.cpu_s, calls(box), time.perf_counter()
        time.sleep(quiet_s)
        took = time.perf_counter() - began
        cpu_share, rate = (subject.cpu_s - cpu) / took, (calls(box) - asked) / took
        memory = subject.memory_mib
        told, gone = asyncio.run(reactions(times))
        if (there := asyncio.run(live())) != count:
            raise NotMeasuredError(f"{there} of {count} objects are left: the platform felt them")
        return memory, f"{100 * cpu_share:.1f} %", number(rate), Spread.of(told), Spread.of(gone)
    finally:
        subject.end()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short window, few reactions")
    parser.add_argument("--keep-runs", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.keep_runs:
        asyncio.run(keep_runs())
        return
    quiet_s, times = (10.0, 3) if arguments.quick else (60.0, 20)
    head("gameday guard with 1,000 live objects and 100 runs, beside nothing live and kubectl in a loop")
    rows: list[tuple[object, ...]] = []
    for count in (0, _OBJECTS):
        with (
            tempfile.TemporaryDirectory() as temporary,
            sandbox(mode="live", history=timedelta(minutes=2)) as box,
        ):
            directory = Path(temporary)
            env = clean_environment(directory, box.env)
            os.environ["KUBECONFIG"] = box.env["KUBECONFIG"]
            command = [*gameday_command(), "guard", "--env", "staging", "--listen", "127.0.0.1:0"]
            script = [sys.executable, "-c", polling_script()]
            with populated(box, count, directory):
                runs = _RUNS if count else 0
                guard = measure(
                    box, Subject(command, env, directory, "guard"), count, quiet_s, times, ready=True
                )
                rows.append((count, runs, "gameday guard", *guard))
                if shutil.which("kubectl"):
                    poll = measure(
                        box, Subject(script, env, directory, "poll"), count, quiet_s, times, ready=False
                    )
                    rows.append((count, runs, "kubectl, every 5 s", *poll))
        say(f"{count} objects measured")
    print()
    table(
        (
            "objects",
            "runs",
            "by",
            "memory, MiB",
            "CPU, of one core",
            "calls/s, renewals included",
            "until told to go, s",
            "until gone, s",
        ),
        rows,
    )
    say(f"quiet window {quiet_s:.0f} s; the memory of kubectl's own processes is not counted")


if __name__ == "__main__":
    main()
