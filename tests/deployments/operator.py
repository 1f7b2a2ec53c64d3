"""Why: an API server prunes or refuses what it does not know; the operator's own kinds have no client models.

Only the fields that we use, as monitoring.coreos.com/v1 has them: whoever uses another one adds it here.
"""

from __future__ import annotations

from typing import Literal

from kubernetes.client.models import V1LabelSelector, V1ObjectMeta
from pydantic import BaseModel, ConfigDict, Field

from sandbox.prometheus.rulefile import AlertRule


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Relabeling(Strict):
    action: Literal["replace", "keep", "drop", "labelmap", "labeldrop", "labelkeep"] = "replace"
    source_labels: list[str] = Field([], alias="sourceLabels")
    regex: str = "(.*)"
    target_label: str = Field("", alias="targetLabel")
    replacement: str = "$1"


class Endpoint(Strict):
    port: str
    path: str = "/metrics"
    interval: str = "15s"
    scrape_timeout: str = Field("10s", alias="scrapeTimeout")
    relabelings: list[Relabeling] = []


class ServiceMonitorSpec(Strict):
    selector: V1LabelSelector
    endpoints: list[Endpoint] = Field(min_length=1)


class ServiceMonitor(Strict):
    api_version: Literal["monitoring.coreos.com/v1"] = Field(alias="apiVersion")
    kind: Literal["ServiceMonitor"]
    metadata: V1ObjectMeta
    spec: ServiceMonitorSpec


class RecordingRule(Strict):
    record: str = Field(pattern="^[a-zA-Z_:][a-zA-Z0-9_:]*$")
    expr: str


class RuleGroup(Strict):
    name: str
    interval: str
    rules: list[AlertRule | RecordingRule]


class RuleSpec(Strict):
    groups: list[RuleGroup]


class PrometheusRule(Strict):
    api_version: Literal["monitoring.coreos.com/v1"] = Field(alias="apiVersion")
    kind: Literal["PrometheusRule"]
    metadata: V1ObjectMeta
    spec: RuleSpec


KINDS: dict[str, type[BaseModel]] = {"ServiceMonitor": ServiceMonitor, "PrometheusRule": PrometheusRule}
