"""Why: a client tells a bad query from a bad server by Prometheus's own error types and status codes."""

from __future__ import annotations


class QueryError(Exception):
    """The query has no answer; ``kind`` is Prometheus's ``errorType``, ``status`` its HTTP status."""

    kind = "execution"
    status = 422

    def __init__(self, message: str) -> None:
        """Say ``message`` as Prometheus would."""
        super().__init__(message)
        self.message = message


class BadDataError(QueryError):
    """The request itself is wrong: a parse error, a bad parameter."""

    kind = "bad_data"
    status = 400


def bad_parameter(name: str, message: str) -> BadDataError:
    """The error for a wrong parameter ``name``, as Prometheus's API words it."""
    return BadDataError(f'invalid parameter "{name}": {message}')
