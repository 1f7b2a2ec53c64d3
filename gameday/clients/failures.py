"""Why: whatever the Kubernetes client meets becomes one of gameday's errors, in one sentence.

The API server answers with a ``Status`` object whose message is the best there is; it is kept. It
leaves to ``transport`` when to ask again.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from gameday.errors import (
    ConflictError,
    NotAllowedError,
    NotFoundError,
    OutsideError,
    RejectedError,
    UnreachableError,
)

SYSTEM = "Kubernetes"

# How the authorizer of the API server words a refusal; an admission plugin words its own.
_DENIED_BY_ROLES = re.compile(r"cannot (?P<verb>\S+) (?:resource|path) \"(?P<resource>[^\"]*)\"")
_LONGEST = 600
_MEANING: Final = {404: NotFoundError, 409: ConflictError, 410: ConflictError, 412: ConflictError}


def shortened(text: str, limit: int = _LONGEST) -> str:
    """``text`` in one line and at most ``limit`` characters."""
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def status_message(body: bytes) -> str:
    """The message of a ``Status`` object, or the start of whatever else was answered."""
    try:
        status: Any = json.loads(body)
    except ValueError:
        return shortened(body.decode("utf-8", "replace"))
    if isinstance(status, dict) and isinstance(status.get("message"), str):
        return shortened(status["message"])
    return shortened(body.decode("utf-8", "replace"))


def from_answer(status: int, body: bytes, *, doing: str) -> OutsideError:
    """The error that an answer of ``status`` (HTTP) means; ``doing`` says what was asked."""
    message = status_message(body)
    if status == 401:
        return NotAllowedError(
            SYSTEM,
            f"the credentials were not accepted while trying to {doing}: {message}",
            hint="They may have expired: log in to the cluster again, then repeat.",
        )
    if status == 403:
        return _forbidden(message, doing)
    if status in _MEANING:
        return _MEANING[status](SYSTEM, f"could not {doing}: {message}")
    if status == 500 and "failed calling webhook" in message:
        return RejectedError(
            SYSTEM,
            f"could not {doing}: {message}",
            hint="An admission webhook does not answer. Is Chaos Mesh's controller running?",
        )
    if status == 429 or status >= 500:
        return UnreachableError(SYSTEM, f"could not {doing}: the API server answered {status}: {message}")
    return RejectedError(SYSTEM, f"refused to {doing}: {message}")


def _forbidden(message: str, doing: str) -> OutsideError:
    denied = _DENIED_BY_ROLES.search(message)
    if denied is None and ("denied" in message or "exceeded quota" in message or "terminated" in message):
        return RejectedError(SYSTEM, f"refused to {doing}: {message}")
    hint = "Ask for a role that allows it."
    if denied:
        hint = f"Ask for a role that allows the verb {denied['verb']!r} on {denied['resource']!r}."
    return NotAllowedError(SYSTEM, f"not allowed to {doing}: {message}", hint=hint)


def from_connection(error: Exception, *, host: str, doing: str, seconds: float) -> UnreachableError:
    """The error that a broken or missing connection to ``host`` means."""
    if isinstance(error, TimeoutError):
        why = f"no answer within {seconds:g} s"
    else:
        why = shortened(str(error)) or type(error).__name__
    return UnreachableError(
        SYSTEM,
        f"could not {doing}: {host} did not answer ({why}).",
        hint="Is the cluster up, and is this machine in its network?",
    )
