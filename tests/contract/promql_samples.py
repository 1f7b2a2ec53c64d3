"""Why: samples with everything that samples can have, and queries for everything that people ask.

Counters with resets, gauges with NaN and infinities, histograms, series that end or have gaps.
"""

from __future__ import annotations

import math
import random

from gameday.spec.catalogue import Catalogue
from sandbox.prometheus.labels import NAME

# A whole number of hours, so that subqueries and ranges fall on steps, and one that does not.
START = 1_700_000_000 - 1_700_000_000 % 3600
NOW = START + 1800

Row = tuple[dict[str, str], float, float]


def _counter(source: random.Random, *, per_step: float, reset_at: int | None = None) -> list[float]:
    values, value = [], 0.0
    for index in range(140):
        value = 0.0 if index == reset_at else value + source.random() * per_step
        values.append(value)
    return values


def rows() -> list[Row]:
    """Every sample: its labels, its time in seconds since the Unix epoch, its value."""
    source = random.Random(7)
    found: list[Row] = []

    def add(
        name: str, labels: dict[str, str], values: list[float], *, step: float = 15, first: float = 0
    ) -> None:
        found.extend(
            ({NAME: name, **labels}, START + first + index * step, value)
            for index, value in enumerate(values)
        )

    for index, service in enumerate(("gateway", "auth", "records")):
        for replica in range(2):
            target = {
                "job": "pyairtable-services",
                "service": service,
                "instance": f"10.0.{index}.{replica}:80",
            }
            up = [0.0 if service == "auth" and replica and 80 < i < 100 else 1.0 for i in range(140)]
            add("up", target, up, first=index)
            for status in ("200", "404", "500", "503"):
                reset = 60 + 20 * index if replica else None
                add(
                    "http_requests_total",
                    {**target, "status": status},
                    _counter(source, per_step=40 if status == "200" else 3, reset_at=reset),
                    first=index,
                )
            total = [0.0] * 140
            for bound in ("0.05", "0.1", "0.5", "1", "+Inf"):
                total = [a + b for a, b in zip(total, _counter(source, per_step=9), strict=True)]
                add("http_request_duration_seconds_bucket", {**target, "le": bound}, total, first=index)
            add("process_start_time_seconds", target, [START - 1000.0 * (index + replica)] * 140, first=index)
        add("limits", {"service": service, "team": f"team-{index}"}, [50.0 * (index + 1)] * 140)
    add("temperature", {"room": "a"}, [20 + 5 * math.sin(i / 9) for i in range(140)])
    add("temperature", {"room": "b"}, [-3.0 + i * 0.01 for i in range(140)])
    add("temperature", {"room": "c"}, [math.nan if i % 7 == 0 else 21.5 for i in range(140)])
    add("temperature", {"room": "d"}, [math.inf if i > 100 else 1e-7 * i for i in range(140)])
    add("sparse", {"kind": "irregular"}, [1.0, 4.0, 2.0, 8.0, 8.0, 3.0], step=247.3, first=11.5)
    add("sparse", {"kind": "ended"}, [5.0, 6.0, 7.0], step=30, first=1000)
    for replica in range(2):
        container = {"namespace": "ns", "pod": f"gateway-{replica}", "container": "app", "service": "gateway"}
        add("container_cpu_usage_seconds_total", container, _counter(source, per_step=9))
        add("container_spec_cpu_quota", container, [100_000.0] * 140)
        add("container_memory_working_set_bytes", container, [1e8 + 1e6 * i * replica for i in range(140)])
        add("container_spec_memory_limit_bytes", container, [512.0 * 1024 * 1024] * 140)
    add("clock", {}, [1_600_000_000.0 + i * 86_400 * 3.3 for i in range(140)])
    return found


QUERIES = (
    *(signal.query for signal in Catalogue().platform.prometheus.signals),
    'avg by (service) (up{job="pyairtable-services"})',
    'sum by (service) (rate(http_requests_total{status=~"5.."}[1m]))',
    "histogram_quantile(0.95, sum by (service, le) (rate(http_request_duration_seconds_bucket[1m])))",
    "histogram_quantile(0.5, rate(http_request_duration_seconds_bucket[5m]))",
    "histogram_quantile(0, http_request_duration_seconds_bucket)",
    "histogram_quantile(1, http_request_duration_seconds_bucket)",
    "histogram_quantile(1.1, http_request_duration_seconds_bucket)",
    'histogram_quantile(0.9, http_request_duration_seconds_bucket{le!="+Inf"})',
    "histogram_quantile(0.9, up)",
    "up",
    'up{service!="auth"}',
    'up{service=~"a.*|gate"}',
    'up{service!~".+way",instance=~".*:80"}',
    '{__name__=~"up|limits"}',
    '{__name__="limits"}',
    'up{absent=""}',
    "up offset 3m",
    "up offset -1m",
    f"up @ {START + 1400}",
    "up @ start()",
    "rate(http_requests_total[5m] @ end())",
    f"temperature @ {START + 600} offset 2m",
    "sparse",
    "sparse offset 4m",
    "rate(http_requests_total[5m])",
    "rate(http_requests_total[45s] offset 1m)",
    "irate(http_requests_total[2m])",
    "increase(http_requests_total[10m])",
    "increase(sparse[20m])",
    "delta(temperature[5m])",
    "idelta(temperature[5m])",
    "deriv(temperature[5m])",
    "predict_linear(temperature[10m], 600)",
    "predict_linear(temperature[10m] offset 1m, 600)",
    "holt_winters(temperature[5m], 0.3, 0.6)",
    "resets(http_requests_total[20m])",
    "changes(temperature[10m])",
    "avg_over_time(temperature[5m])",
    "min_over_time(temperature[5m])",
    "max_over_time(temperature[5m])",
    "sum_over_time(temperature[5m])",
    "count_over_time(sparse[15m])",
    "last_over_time(sparse[20m])",
    "present_over_time(sparse[20m])",
    "stddev_over_time(temperature[5m])",
    "stdvar_over_time(temperature[5m])",
    "quantile_over_time(0.3, temperature[5m])",
    "quantile_over_time(-1, temperature[5m])",
    "absent_over_time(nothing[5m])",
    'absent_over_time(nothing{a="b",c=~"d"}[5m])',
    'absent(nothing{service="x",status=~"5.."})',
    "absent(up)",
    "absent(sum(nothing))",
    'absent(nothing{a="1",a="2",b="3"})',
    "sum(up)",
    "sum without (instance) (up)",
    "sum by () (up)",
    "sum by (nothing) (up)",
    "min(temperature)",
    "max(temperature)",
    "avg(temperature)",
    "count by (job) (up)",
    "group by (service) (up)",
    "stddev(http_requests_total)",
    "stdvar by (service) (http_requests_total)",
    "quantile by (service) (0.75, http_requests_total)",
    "quantile(2, http_requests_total)",
    "topk(3, http_requests_total)",
    "bottomk by (service) (1, http_requests_total)",
    "topk(0, up)",
    'count_values("value", up)',
    'count_values by (service) ("value", limits)',
    "up + 1",
    "2 - up",
    "-temperature",
    "temperature % 3",
    "temperature ^ 2",
    "temperature ^ 0.5",
    "temperature / 0",
    "0 / (up - 1)",
    "temperature atan2 2",
    "1 + 2 * 3 ^ 2",
    "-2 ^ 2",
    "1 > bool 2",
    "7 % -3",
    "temperature > 20",
    "temperature > bool 20",
    "20 < temperature",
    "temperature == temperature",
    "temperature != bool temperature",
    "rate(http_requests_total[5m]) > 0.1 and on (service) limits > 60",
    "up and on (service) limits == 50",
    "up or limits",
    "up or on (service) vector(1)",
    "up unless on (service) limits > 50",
    "up unless ignoring (job, instance, team) limits",
    "up * on (service) group_left (team) limits",
    "limits * on (service) group_right () up",
    "up / ignoring (job, instance) group_left limits",
    "sum by (service) (up) / on (service) limits",
    "sum by (service) (up) == on (service) (limits / 25)",
    "limits > bool on (service) sum by (service) (up)",
    "up * 2 + on (service, instance) group_left sum by (service, instance) (http_requests_total)",
    "max_over_time(rate(http_requests_total[1m])[5m:30s])",
    "avg_over_time((temperature > 20)[10m:])",
    "rate(sum by (service) (http_requests_total)[5m:15s])",
    "sum_over_time(time()[1m:7s])",
    "min_over_time(temperature[5m:1m] offset 2m)",
    f"max_over_time(temperature[5m:1m] @ {START + 900})",
    "max_over_time(avg_over_time(temperature[2m])[5m:1m])[10m:2m]",
    "round(temperature, 0.5)",
    "round(temperature)",
    "ceil(temperature) - floor(temperature)",
    "abs(temperature)",
    "sgn(temperature)",
    "sqrt(temperature)",
    "exp(temperature / 10)",
    "ln(temperature)",
    "log2(temperature)",
    "log10(temperature)",
    "clamp(temperature, 0, 20.5)",
    "clamp(temperature, 2, 1)",
    "clamp_min(temperature, 1)",
    "clamp_max(temperature, 1)",
    "sin(temperature) + cos(temperature) * tan(temperature)",
    "asin(temperature / 100) + acos(temperature / 100) + atan(temperature)",
    "sinh(temperature / 10) + cosh(temperature / 10) + tanh(temperature / 10)",
    "asinh(temperature) + acosh(temperature + 30) + atanh(temperature / 100)",
    "deg(temperature) + rad(temperature) + pi()",
    "sort(temperature)",
    "sort_desc(limits)",
    "timestamp(sparse)",
    "timestamp(sparse + 0)",
    "timestamp(timestamp(up))",
    "time() - timestamp(up)",
    "time()",
    "vector(time())",
    "scalar(limits)",
    'scalar(limits{service="auth"})',
    "vector(scalar(temperature))",
    "year(clock) * 10000 + month(clock) * 100 + day_of_month(clock)",
    "day_of_week(clock) + days_in_month(clock) * 10",
    "day_of_year(clock)",
    "hour(clock) * 60 + minute(clock)",
    "hour()",
    "day_of_week(vector(-86400.5))",
    'label_replace(up, "host", "$1-${2}", "instance", "(.*)[.](.*):.*")',
    'label_replace(up, "service", "", "service", "auth")',
    'label_replace(up, "x", "$$", "service", "no-match")',
    'label_join(up, "all", "/", "job", "service", "nothing")',
    "sum(rate(http_requests_total[1m])) by (service) / scalar(sum(limits))",
    'sum by (service) (http_requests_total{status=~"5.."}) / sum by (service) (http_requests_total) < 0.2',
    "temperature[1m]",
    "nothing",
    '"text"',
    "NaN",
    "-Inf",
    "0x1F + 1e3",
    "1e-9 * vector(3)",
    "vector(1e30)",
)

WRONG = (
    "",
    "up{",
    "rate(up)",
    "sum(up[1m])",
    "{}",
    '{service=""}',
    "nonsense(up)",
    "up and 1",
    'up{__name__="x"}',
    "1 == 2",
    'up{a=~"["}',
    "topk(up)",
    "up + on (service) limits",
    "up * on (job) limits",
    "up * on (service) group_left limits * on (service) up",
    'label_replace(up, "0bad", "", "", "")',
    'label_replace(up, "a", "", "b", "[")',
    'label_replace(up, "instance", "same", "", "")',
    'rate({__name__=~"up|process_start_time_seconds"}[5m])',
    "holt_winters(temperature[5m], 2, 0.5)",
    'count_values("0", up)',
)
