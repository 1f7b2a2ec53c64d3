"""Why: every run that may inject has a watchdog, told how long the run can take at the very most.

Only the order; the run's side of it is ``gameday.safety.watchdog``, its process ``gameday.run.watchdog``.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Final

from gameday.run.context import Run
from gameday.safety.watchdog import Order, Watchdog

# Beyond its duration: proving a stage in and out, and waiting until it may begin.
_OF_A_STAGE: Final = timedelta(minutes=2)
# For the emergency stop, and for a creation that was never answered.
_AT_THE_END: Final = timedelta(minutes=3)


def watched(run: Run, state_dir: Path) -> AbstractContextManager[Watchdog]:
    """Start the watchdog of ``run``. Raises ``RefusedError`` where it cannot be started."""
    order = Order(
        run=run.id,
        context=run.session.environment.context,
        namespace=run.plan.chaos_namespace,
        longest=run.plan.longest + len(run.plan.stages) * _OF_A_STAGE + _AT_THE_END,
    )
    return Watchdog.spawn(order, state_dir / "watchdogs")
