"""Why: one documented tree of what can go wrong, so that the command turns each into one clear message.

Every error a user can cause or meet is a ``GamedayError`` and carries the exit code of
``docs/reference/exit-codes.md``. What is secret is taken out where an error is made, because its words
go everywhere. Programming errors are not in the tree: they surface as themselves.
"""

from __future__ import annotations

from enum import IntEnum

from gameday.redaction import redacted


class ExitCode(IntEnum):
    """The exit codes of the command ``gameday``."""

    HELD = 0
    DISPROVED = 1
    USAGE = 2
    REFUSED = 3
    ABORTED = 4
    STOPPED = 5
    ERROR = 6


class GamedayError(Exception):
    """Something a person should read: what happened, where, what was expected, what to do."""

    exit_code: ExitCode = ExitCode.ERROR

    def __init__(self, message: str, *, hint: str = "") -> None:
        """Say ``message`` in one sentence and, in ``hint``, what to do about it."""
        self.message = redacted(message)
        self.hint = redacted(hint)
        super().__init__(self.message)


class UsageError(GamedayError):
    """The input is wrong: a name, an option, a file."""

    exit_code = ExitCode.USAGE


class DeclarationError(UsageError):
    """A file of the catalogue does not say what it must; ``problems`` lists every fault found."""

    def __init__(self, message: str, problems: tuple[str, ...] = (), *, hint: str = "") -> None:
        """List ``problems``, each already naming file, line and key."""
        super().__init__(message, hint=hint)
        self.problems = tuple(redacted(problem) for problem in problems)


class RefusedError(GamedayError):
    """The run must not start; ``reasons`` says why, each on its own line."""

    exit_code = ExitCode.REFUSED

    def __init__(self, message: str, reasons: tuple[str, ...] = (), *, hint: str = "") -> None:
        """List ``reasons``, one sentence each."""
        super().__init__(message, hint=hint)
        self.reasons = tuple(redacted(reason) for reason in reasons)


class StoppedError(GamedayError):
    """Somebody called the run off before anything was injected."""

    exit_code = ExitCode.STOPPED


class OutsideError(GamedayError):
    """A system outside did not do what was asked of it; ``system`` names it."""

    def __init__(self, system: str, message: str, *, hint: str = "") -> None:
        """Name the ``system`` as people call it: ``Kubernetes``, ``Prometheus``, ``Slack``."""
        super().__init__(f"{system}: {message}", hint=hint)
        self.system = system


class UnreachableError(OutsideError):
    """No answer in time, or no connection at all."""


class NotAllowedError(OutsideError):
    """The system answered that this identity may not do that."""


class NotFoundError(OutsideError):
    """The system answered that there is no such thing."""


class ConflictError(OutsideError):
    """Somebody else was faster, or the thing exists already."""


class RejectedError(OutsideError):
    """The system understood and said no: an admission webhook, a policy, a validation."""
