"""Why: whoever trains people wants to see them meet a Prometheus that lies or a Slack that is silent.

The parts of the sandbox that can be broken, and how: each lever is one call to the door of a part
under ``/control``. ``gameday.cli.sandbox`` pulls them; what then goes wrong is the part's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Lever:
    """One way for a part to misbehave: what people see of it, and the call that brings it about."""

    effect: str
    body: dict[str, Any]
    method: str = "PUT"
    path: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the sandbox: its door (a path of the sandbox), what that tells when all is well, its levers.

    ``GET`` at the door tells the state, ``DELETE`` mends everything.
    """

    title: str
    door: str
    fine: dict[str, Any]
    levers: dict[str, Lever]

    def broken(self, state: dict[str, Any]) -> dict[str, Any]:
        """What of ``state``, as the door told it, is not as it should be."""
        return {key: state.get(key) for key, value in self.fine.items() if state.get(key) != value}


PARTS: dict[str, Part] = {
    "kubernetes": Part(
        "Kubernetes",
        "/control/kubernetes/",
        {"failing": [], "stalling": [], "forbidding": [], "hanging": [], "controllerDown": False},
        {
            "failing": Lever("Every call to the API server fails with HTTP 500.", {}, "POST", "fail"),
            "stalling": Lever("Calls get no answer until mended.", {}, "POST", "stall"),
            "forbidding": Lever("Nobody may do anything: every call is forbidden.", {}, "POST", "forbid"),
            "hanging": Lever("Faults that are deleted hang on their finalizer.", {}, "POST", "hang"),
            "no-controller": Lever(
                "The Chaos Mesh controller and its webhook are away.", {"down": True}, "POST", "controller"
            ),
        },
    ),
    "prometheus": Part(
        "Prometheus",
        "/control/prometheus/",
        {"mode": "normal"},
        {
            "empty": Lever("Every query answers with no result.", {"mode": "empty"}),
            "stale": Lever("Nothing is scraped any more: samples grow old.", {"mode": "stale"}),
            "slow": Lever("Answers take 10 seconds.", {"mode": "slow", "delay": "10s"}),
            "failing": Lever("Every request fails with HTTP 503.", {"mode": "failing"}),
            "gone": Lever("Connections break off in the middle of an answer.", {"mode": "gone"}),
        },
    ),
    "slack": Part(
        "Slack",
        "/control/slack/fault",
        {"kind": "none"},
        {
            "refusing": Lever(
                "Every call is refused: invalid_auth.", {"kind": "error", "error": "invalid_auth"}
            ),
            "failing": Lever("Every request fails with HTTP 503.", {"kind": "unavailable"}),
            "limited": Lever(
                "Every call is told to come back in 30 seconds.", {"kind": "ratelimited", "retry_after": 30}
            ),
            "stalling": Lever("Calls get no answer until mended.", {"kind": "stalling"}),
        },
    ),
}
