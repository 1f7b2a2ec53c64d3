"""Why: every figure is taken and printed the same way, so that figures can be compared.

Runs commands as cold processes and measures them from outside: wall time from the start of the
process to its end, its CPU time, the peak of its memory. What is run, and beside what it is put, is
each script's own business. Nothing here judges a figure.
"""

from __future__ import annotations

import os
import platform
import signal
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import IO, Self

_LOOK_S = 0.02
# Where there are hundreds of processes a look takes its time, and must not be what is measured.
_LOOKING_SHARE = 0.01
# A short process is looked at more often, or it would be gone before it has grown.
_FIRST_LOOKS, _FIRST_LOOK_S = 50, 0.001
_MIB = 1 << 20
_PROC = Path("/proc")


class NotMeasuredError(RuntimeError):
    """Something that had to be measured did not happen; the message says what did."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The same figure, taken several times."""

    least: float
    median: float
    most: float
    count: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        """Sum up ``values``, of which there is at least one."""
        taken = sorted(values)
        return cls(taken[0], statistics.median(taken), taken[-1], len(taken))

    def __str__(self) -> str:
        if self.count == 1:
            return f"{number(self.median)} (once)"
        return f"{number(self.median)} (min {number(self.least)}, max {number(self.most)}, n={self.count})"


@dataclass(frozen=True, slots=True)
class Finished:
    """A process that has ended."""

    exit_code: int
    wall_s: float
    cpu_s: float
    peak_mib: float | None
    """The most memory that it and its children held (sum of each one's peak); None where unknown."""
    out: str
    err: str

    def require(self, *exit_codes: int) -> Self:
        """The same. Raises ``NotMeasuredError`` with its last words where it ended otherwise."""
        if self.exit_code not in exit_codes:
            words = "\n".join((self.out + self.err).splitlines()[-25:])
            raise NotMeasuredError(f"a command ended with {self.exit_code}:\n{words}")
        return self


def run(
    command: Sequence[str | Path], *, env: Mapping[str, str], directory: Path, limit_s: float
) -> Finished:
    """Run ``command`` in ``directory`` and measure it; it is killed after ``limit_s``."""
    return Running(command, env=env, directory=directory).finish(limit_s)


class Running:
    """A process that was started to be measured. It must be finished."""

    def __init__(self, command: Sequence[str | Path], *, env: Mapping[str, str], directory: Path) -> None:
        """Start ``command``; the clock runs from here."""
        # Files, not pipes: a reader of pipes would take part in what is measured.
        self._out: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in finish
        self._err: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in finish
        self._began = time.perf_counter()
        self._process = subprocess.Popen(
            [str(part) for part in command],
            env=dict(env),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=self._err,
        )
        self._memory = _MemoryWatch(self._process.pid)
        self._memory.start()

    def finish(self, limit_s: float) -> Finished:
        """Wait for its end and read what it said; it is killed ``limit_s`` from now."""
        pid = self._process.pid
        patience = threading.Timer(limit_s, _kill, (pid,))
        patience.start()
        try:
            _, status, usage = os.wait4(pid, 0)
            wall_s = time.perf_counter() - self._began
            self._process.returncode = os.waitstatus_to_exitcode(status)
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise
        finally:
            patience.cancel()
            self._memory.end()
        out, err = (_content(file) for file in (self._out, self._err))
        return Finished(
            exit_code=self._process.returncode,
            wall_s=wall_s,
            cpu_s=usage.ru_utime + usage.ru_stime,
            peak_mib=self._memory.peak_mib,
            out=out,
            err=err,
        )


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _content(file: IO[bytes]) -> str:
    file.seek(0)
    with file:
        return file.read().decode(errors="replace")


class _MemoryWatch(threading.Thread):
    """Reads the peaks (VmHWM) of a process and its children until told to end.

    ``getrusage`` would not do: a child's peak there begins with its parent's size.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True, name=f"memory of {pid}")
        self._pid = pid
        self._ended = threading.Event()
        self._peaks: dict[int, float] = {}

    def run(self) -> None:
        for look in count():
            began = time.perf_counter()
            for pid in _family(self._pid):
                peak = _peak_mib(pid)
                if peak is not None:
                    self._peaks[pid] = peak
            took = time.perf_counter() - began
            if self._ended.wait(
                _FIRST_LOOK_S if look < _FIRST_LOOKS else max(_LOOK_S, took / _LOOKING_SHARE)
            ):
                return

    def end(self) -> None:
        self._ended.set()
        self.join()

    @property
    def peak_mib(self) -> float | None:
        return sum(self._peaks.values()) if self._peaks else None


def _family(pid: int) -> list[int]:
    """``pid`` and its descendants."""
    found = [pid]
    for parent in found:
        with suppress(OSError):
            for tasks in (_PROC / str(parent) / "task").glob("*/children"):
                found += [int(child) for child in tasks.read_text().split()]
    return found


def _peak_mib(pid: int) -> float | None:
    with suppress(OSError):
        for line in (_PROC / str(pid) / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return None


def cpu_seconds(pid: int) -> float:
    """The CPU time that ``pid`` and its living children have used so far; 0 where that is not known."""
    total = 0.0
    for one in _family(pid):
        with suppress(OSError):
            fields = (_PROC / str(one) / "stat").read_text().rpartition(")")[2].split()
            total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def peak_mib(pid: int, *, alone: bool = False) -> float:
    """The most memory that ``pid`` has held, with its living children or ``alone``; 0 if unknown."""
    return sum(_peak_mib(one) or 0.0 for one in ([pid] if alone else _family(pid)))


def head(title: str) -> None:
    """Print what is measured, and on what."""
    memory_mib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _MIB
    python = f"{platform.python_implementation()} {platform.python_version()}"
    print(f"\n== {title}")
    print(
        f"   {len(os.sched_getaffinity(0))} cores, {memory_mib / 1024:.0f} GiB, {python}, "
        f"{platform.system()} {platform.machine()}; load before: {os.getloadavg()[0]:.1f}\n",
        flush=True,
    )


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print ``rows`` under ``header``, the columns as wide as needed."""
    lines = [tuple(header), *(tuple(_cell(cell) for cell in row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    for line in lines:
        print("   " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    print(flush=True)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return number(value) if isinstance(value, float) else str(value)


def number(value: float) -> str:
    """``value`` with as many digits as it is worth."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def say(text: str) -> None:
    """Print a line at once."""
    print(f"   {text}", flush=True)
