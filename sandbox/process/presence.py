"""Why: whether a sandbox is up must be known for certain, also after a SIGKILL and a reused pid.

The process holds a lock on a file of its directory for as long as it lives; the operating system
lets go of it whatever happens. The state file says the rest. Starting and ending are ``launch``'s.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from sandbox.process.options import LOCK_FILE, STATE_FILE, SandboxState

_LOCK_ATTEMPTS = 20
_LOCK_PAUSE_S = 0.05


def take(directory: Path) -> int | None:
    """Take the directory's lock, which is held until the returned descriptor, or the process, ends.

    None where another has it, after a second: somebody may only be looking just now (see ``is_up``).
    """
    descriptor = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for _ in range(_LOCK_ATTEMPTS):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOCK_PAUSE_S)
        else:
            return descriptor
    os.close(descriptor)
    return None


def is_up(directory: Path) -> bool:
    """Whether a sandbox lives in ``directory``, be it ready or still starting."""
    try:
        descriptor = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def read(directory: Path) -> SandboxState | None:
    """What the sandbox in ``directory`` says of itself; None where none is up and ready."""
    if not is_up(directory):
        return None
    try:
        return SandboxState.model_validate_json((directory / STATE_FILE).read_bytes())
    except FileNotFoundError:
        return None


def announce(directory: Path, state: SandboxState) -> None:
    """Write the state file, whole or not at all."""
    draft = directory / f".{STATE_FILE}.{os.getpid()}"
    draft.write_text(state.model_dump_json(indent=2) + "\n", encoding="utf-8")
    draft.chmod(0o600)
    draft.replace(directory / STATE_FILE)
