"""Why: only steps that can be repeated without harm are repeated, and only where that can help."""

from __future__ import annotations

from typing import Any

from prefect import Task
from prefect.client.schemas.objects import State, TaskRun

from gameday.errors import UnreachableError

# Beside the clients' own retries, which last a second or two.
RETRIES = 2
RETRY_DELAY_S = 2.0


async def when_unreachable(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    """Whether the step failed because somebody did not answer: then asking again may help."""
    del task, task_run
    try:
        await state.aresult()
    except UnreachableError:
        return True
    except Exception:
        return False
    return False
