"""Why: ``python -m gameday.run.watchdog ORDER ANNOUNCE_FD HELD_FD`` is a run's watchdog itself.

Not for people: a run starts it. ORDER is ``gameday.safety.watchdog.Order`` as JSON; ANNOUNCE_FD gets
a line once it watches; HELD_FD carries the run's words and is at its end when the run has gone.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Final

# A terminal, a service manager and a shutdown send these to everybody. It ends when its run does, and
# a run that such a signal ends may need it.
_IGNORED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP)


def main() -> None:
    """Detach, then watch until there is nothing more to watch or to end."""
    announce, held = int(sys.argv[2]), int(sys.argv[3])
    # Before anything heavy is imported. In a session of its own and nobody's child, it is in no
    # process group and in no process tree that is killed as a whole.
    if os.fork():
        os._exit(0)
    os.setsid()
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    from gameday.run.watchdog.keeper import run  # noqa: PLC0415 - after the fork

    run(sys.argv[1], announce, held)


if __name__ == "__main__":
    main()
