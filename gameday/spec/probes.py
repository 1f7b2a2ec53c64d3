"""Why: not everything that users rely on is a series in Prometheus; a request and an object tell, too.

What is asked of the platform's front door over HTTP, and of the Kubernetes API. Limits and names are
the probe's (``experiment``); who asks is ``gameday.monitor.probes``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, StringConstraints, WithJsonSchema, field_validator

from gameday.redaction import HIDDEN
from gameday.spec.base import Duration, Mistake, Model, Name, format_duration

LONGEST_TIMEOUT: Final = timedelta(seconds=5)

Header = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]+$")]
_VARIABLE: Final = "[A-Z_][A-Z0-9_]*"
_DESCRIPTION: Final = "the name of an environment variable, such as GAMEDAY_PROBE_TOKEN"
# The journal hides whatever stands behind a header such as Authorization; its plans must stay readable.
Variable = Annotated[
    str,
    StringConstraints(pattern=rf"^({_VARIABLE}|{re.escape(HIDDEN)})$"),
    WithJsonSchema({"type": "string", "pattern": f"^{_VARIABLE}$", "description": _DESCRIPTION}),
]
Status = Annotated[int, Field(ge=100, le=599)]


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, int) else value


Statuses = Annotated[
    tuple[Status, ...],
    BeforeValidator(_listed),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 100, "maximum": 599},
                {"type": "array", "items": {"type": "integer", "minimum": 100, "maximum": 599}},
            ]
        }
    ),
]


class HttpRequest(Model):
    """One request to the environment's ``url``, and what makes its answer a good one.

    Redirects are not followed: they are answers. Secrets stand in the environment only.
    """

    path: Annotated[
        str,
        Field(
            pattern=r"^/([^/\\\s#][^\\\s#]*)?$",
            description="a path below the environment's url, such as /health; no other host",
        ),
    ]
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    headers: Annotated[
        dict[Header, Variable], Field(default_factory=dict, description="each value out of a variable")
    ]
    body: Annotated[str, Field(description="sent as application/json")] = ""
    timeout: Duration = timedelta(seconds=2)
    status: Annotated[Statuses, Field(description="what counts as success; else any 2xx")] = ()
    contains: Annotated[str, Field(description="text that a good answer has in its first 64 KiB")] = ""

    @field_validator("timeout")
    @classmethod
    def _short(cls, timeout: timedelta) -> timedelta:
        if not timedelta(0) < timeout <= LONGEST_TIMEOUT:
            raise ValueError(f"must be longer than 0s and at most {format_duration(LONGEST_TIMEOUT)}")
        return timeout

    def good(self, status: int, body: str) -> bool:
        """Whether this is the answer that is wanted."""
        expected = status in self.status if self.status else 200 <= status < 300
        return expected and self.contains in body

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def in_full(self) -> str:
        """The request and what makes its answer a good one, for whoever must know exactly."""
        headers = [f"{name} out of {variable}" for name, variable in self.headers.items()]
        status = " or ".join(map(str, self.status)) or "any 2xx"
        parts = (
            str(self),
            f"with {', '.join(headers)}" if headers else "",
            f"sending {self.body}" if self.body else "",
            f"answered within {format_duration(self.timeout)} by {status}",
            f"that contains {self.contains!r}" if self.contains else "",
        )
        return " ".join(filter(None, parts))


class HttpProbe(HttpRequest):
    """What requests to the front door tell at each look.

    ``success`` is the share that was answered well, ``latency`` the seconds that the slowest answer took.
    """

    measures: Literal["success", "latency"] = "success"
    requests: Annotated[int, Field(ge=1, le=20, description="so many at once at each look")] = 1
    service: Annotated[Name, Field(description="the service that it is counted for")] | None = None

    @property
    def in_full(self) -> str:
        """What is asked at each look, and what of the answers is the value."""
        at_once = f"{self.requests} requests at once" if self.requests > 1 else "one request"
        value = "the share of good answers" if self.measures == "success" else "seconds of the slowest answer"
        counted = f", counted for {self.service}" if self.service else ""
        return f"{value} to {at_once}, {super().in_full}{counted}"


_MEASURED: Final = {
    "share": "how much of what is wanted is ready",
    "count": "how much is ready",
    "available": "1 where as much is available as is wanted, else 0,",
}


class KubernetesProbe(Model):
    """What objects of the environment's namespace tell, service by service.

    ``share`` is how much of what is wanted is ready, ``count`` how much is, ``available`` 1 where at
    least as much is available as is wanted, else 0.
    """

    kind: Literal["Deployment", "StatefulSet", "Pod"]
    name: Annotated[str, Field(min_length=1, description="only the one called so")] | None = None
    selector: Annotated[
        dict[str, str], Field(default_factory=dict, description="only those with these labels")
    ]
    measures: Literal["share", "count", "available"] = "share"

    def mistakes(self) -> Iterator[Mistake]:
        """A pod is ready or not; only what keeps pods wants a number of them."""
        if self.kind == "Pod" and self.measures == "available":
            yield ("measures",), "a Pod has no number that is wanted; expected 'share' or 'count'"

    def __str__(self) -> str:
        wanted = [f"{key}={value}" for key, value in self.selector.items()]
        which = f" {self.name}" if self.name else f" with {', '.join(wanted)}" if wanted else "s"
        return f"{self.measures} of {self.kind}{which}"

    @property
    def in_full(self) -> str:
        """What is asked of Kubernetes at each look, and what of the answer is the value."""
        wanted = [f"{key}={value}" for key, value in self.selector.items()]
        which = f" called {self.name}" if self.name else ""
        labels = f" with the labels {', '.join(wanted)}" if wanted else ""
        return f"{_MEASURED[self.measures]} of each service's {self.kind}{which}{labels}"
