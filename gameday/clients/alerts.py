"""Why: what people are being told is asked of Prometheus's alerts API, of which its client knows nothing.

Goes through that client's session; ``Prometheus.alerts`` is the way in. Which alerts were expected is
for others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import requests
from prometheus_api_client.exceptions import PrometheusApiClientException

from gameday.clients.times import parsed
from gameday.spec.alerts import NAME_LABEL, SERVICE_LABEL


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert that is pending or firing; its condition has held since ``active_at``."""

    labels: Mapping[str, str]
    firing: bool
    active_at: datetime

    @property
    def name(self) -> str:
        """The name of its rule."""
        return self.labels.get(NAME_LABEL, "")

    @property
    def service(self) -> str:
        """The service that it speaks of; "" where it has no such label."""
        return self.labels.get(SERVICE_LABEL, "")

    @property
    def key(self) -> tuple[datetime, frozenset[tuple[str, str]]]:
        """The same for as long as it lasts; another once it has ended and begun anew."""
        return self.active_at, frozenset(self.labels.items())


def ask(session: requests.Session, url: str, timeout: tuple[float, float]) -> list[Any]:
    """The alerts as the server at ``url`` sends them. Raises as the client's own questions do."""
    found: list[Any] = _data(session, f"{url}/api/v1/alerts", timeout)["alerts"]
    return found


def ask_rules(session: requests.Session, url: str, timeout: tuple[float, float]) -> list[Any]:
    """The groups of alerting rules, likewise."""
    found: list[Any] = _data(session, f"{url}/api/v1/rules?type=alert", timeout)["groups"]
    return found


def _data(session: requests.Session, url: str, timeout: tuple[float, float]) -> Any:
    response = session.get(url, timeout=timeout)
    if response.status_code != requests.codes.ok:
        raise PrometheusApiClientException(f"HTTP Status Code {response.status_code} ({response.content!r})")
    return response.json()["data"]


def read(answer: list[Any]) -> tuple[Alert, ...]:
    """Those alerts. Raises ``ValueError`` or its like where they are not what Prometheus would send."""
    return tuple(_alert(one) for one in answer)


def _alert(item: Mapping[str, Any]) -> Alert:
    labels, state, active_at = item["labels"], item["state"], parsed(item["activeAt"])
    if state not in {"pending", "firing"} or active_at is None:
        raise ValueError(f"no alert has the state {state!r}, active since {item['activeAt']!r}")
    if not all(isinstance(value, str) for pair in labels.items() for value in pair):
        raise ValueError("a label is no text")
    return Alert(dict(labels), state == "firing", active_at)


def names(groups: list[Any]) -> frozenset[str]:
    """The names of the alerting rules in ``groups``. Raises as ``read`` does."""
    return frozenset(str(rule["name"]) for group in groups for rule in group["rules"])
