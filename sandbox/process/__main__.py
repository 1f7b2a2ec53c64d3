"""Why: ``python -m sandbox.process OPTIONS READY_FD HOLD_FD`` is the sandbox itself.

Not for people: they say ``gameday sandbox up``. OPTIONS is ``SandboxOptions`` as JSON; READY_FD gets
the process id in one line and another line when it is ready; HOLD_FD, unless -1, is at its end when
the holder has gone.
"""

from __future__ import annotations

import os
import sys

from sandbox.process.options import SandboxOptions


def main() -> None:
    """Detach, then run until told to end."""
    options = SandboxOptions.model_validate_json(sys.argv[1])
    ready, held = int(sys.argv[2]), int(sys.argv[3])
    # Before anything heavy is imported, so that the fork costs nothing and no thread is lost in it.
    if pid := os.fork():
        os.write(ready, f"{pid}\n".encode())
        os._exit(0)
    os.setsid()
    os.chdir("/")
    from sandbox.process.server import run  # noqa: PLC0415 - after the fork

    sys.exit(run(options, ready, held))


if __name__ == "__main__":
    main()
