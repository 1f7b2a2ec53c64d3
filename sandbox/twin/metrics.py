"""Why: what a run can see of the platform is what its exporters say; this is all of it.

Names and labels are those of the guide and of the usual exporters (cAdvisor, postgres_exporter,
redis_exporter). Every series that can occur exists from a pod's start, at 0: ``rate`` cannot see
a series that is born during a fault.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate

from sandbox.prometheus.exposition import Exposition, Layout
from sandbox.twin.httppods import BUCKETS, HttpPod, Statuses
from sandbox.twin.quantities import MIB
from sandbox.twin.routes import RouteModel
from sandbox.twin.servers import Server
from sandbox.twin.stores import MAX_CONNECTIONS, Cache, Store

_BOUNDS = (*(f"{bound:g}" for bound in BUCKETS), "+Inf")

_POD = (
    "http_requests_in_flight",
    "http_requests_queued",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "db_pool_connections_in_use",
    "db_pool_connections_max",
    "db_pool_wait_seconds_total",
    "db_pool_waits_total",
    "db_pool_timeouts_total",
    "cache_hits_total",
    "cache_misses_total",
)
_EDGE = (
    "http_client_retries_total",
    "http_client_failures_total",
    "http_client_timeouts_total",
    "http_client_rejected_total",
    "http_client_fallbacks_total",
    "circuit_breaker_state",
)


def histogram_layout(name: str, labels: dict[str, str]) -> Layout:
    """The series of one histogram with the model's buckets."""
    buckets = ((f"{name}_bucket", {**labels, "le": bound}) for bound in _BOUNDS)
    return (*buckets, (f"{name}_sum", labels), (f"{name}_count", labels))


def histogram_values(buckets: Sequence[int], total: float) -> list[float]:
    """The values for ``histogram_layout``: cumulative ``buckets``, the sum, the count."""
    counts = list(map(float, accumulate(buckets)))
    return [*counts, total, counts[-1]]


def http_layout(routes: Iterable[RouteModel], statuses: Statuses, callees: Iterable[str]) -> Layout:
    """The series of a service's pod; the scrape target's own labels say which."""
    requests = (
        (
            "http_requests_total",
            {"method": route.method, "route": route.path, "status": str(code)},
        )
        for route in routes
        for code in statuses.codes
    )
    edges = ((name, {"callee": callee}) for callee in callees for name in _EDGE)
    plain: list[tuple[str, dict[str, str]]] = [(name, {}) for name in _POD]
    return (*requests, *histogram_layout("http_request_duration_seconds", {}), *plain, *edges)


def http_samples(pod: HttpPod, layout: Layout, statuses: Statuses) -> Exposition:
    """What a service's pod exposes now."""
    values: list[float] = []
    width = len(statuses.codes)
    for row in pod.requests:
        values += row
        values += [0.0] * (width - len(row))
    values += histogram_values(pod.buckets, pod.seconds)
    pool = pod.pool
    values += (
        pod.in_flight,
        pod.queued,
        pod.cpu_seconds + 0.004 * (pod.env.now - pod.started_at),
        (pod.working_set_mib - pod.effects.stress_mib) * MIB,
        pool.in_use,
        pool.size,
        pool.waited,
        pool.waits,
        pool.timeouts,
        pod.cache_hits,
        pod.cache_misses,
    )
    for edge in pod.edges.values():
        values += (
            edge.retries,
            edge.failures,
            edge.timeouts,
            edge.rejected,
            edge.fallbacks,
            edge.breaker_state,
        )
    return Exposition(layout, values)


_DATABASE: Layout = (
    ("pg_up", {}),
    ("pg_stat_activity_count", {"state": "active"}),
    ("pg_stat_activity_count", {"state": "idle"}),
    ("pg_settings_max_connections", {}),
    ("pg_stat_database_xact_commit", {}),
    ("pg_stat_database_xact_rollback", {}),
    ("pg_database_size_bytes", {}),
)
_CACHE: Layout = (
    ("redis_up", {}),
    ("redis_connected_clients", {}),
    ("redis_commands_processed_total", {}),
    ("redis_keyspace_hits_total", {}),
    ("redis_keyspace_misses_total", {}),
    ("redis_memory_used_bytes", {}),
    ("redis_rdb_last_bgsave_status", {}),
)


def store_samples(store: Store, connections: int) -> Exposition:
    """What the exporter beside a store says; ``connections`` are those that clients keep open."""
    up = float(store.answering)
    if isinstance(store, Cache):
        values = [
            up,
            up * connections,
            store.commands,
            store.hits,
            store.misses,
            (store.service.spec.memory_mib * (0.3 + 0.7 * store.warmth)) * MIB,
            0.0 if store.saves_fail else 1.0,
        ]
        return Exposition(_CACHE, values)
    active = min(store.in_flight, MAX_CONNECTIONS)
    values = [
        up,
        active,
        max(0, connections - active) * up,
        MAX_CONNECTIONS,
        store.commands - store.failed,
        store.failed,
        store.disk_mib * MIB,
    ]
    return Exposition(_DATABASE, values)


_CONTAINER = (
    "container_cpu_usage_seconds_total",
    "container_spec_cpu_quota",
    "container_memory_working_set_bytes",
    "container_spec_memory_limit_bytes",
)


# A store's data lies on a volume, what others write in the container's own layer.
_VOLUME = ("kubelet_volume_stats_used_bytes", "kubelet_volume_stats_capacity_bytes")
_LAYER = ("container_fs_usage_bytes", "container_fs_limit_bytes")


def container_layout(servers: Iterable[Server]) -> Layout:
    """The series that the kubelet and cAdvisor have of the pods' containers and disks."""
    layout: list[tuple[str, dict[str, str]]] = []
    for server in servers:
        ref, service = server.ref, server.service
        common = {"namespace": ref.namespace, "service": service.name}
        container = {**common, "pod": ref.name, "container": ref.container or service.name}
        layout += ((name, container) for name in _CONTAINER)
        if service.spec.disk is not None and isinstance(server, Store):
            layout += ((name, {**common, "persistentvolumeclaim": f"data-{ref.name}"}) for name in _VOLUME)
        elif service.spec.disk is not None:
            layout += ((name, container) for name in _LAYER)
    return tuple(layout)


def container_samples(servers: Iterable[Server], layout: Layout) -> Exposition:
    """What the kubelet and cAdvisor say of the pods' containers and disks now."""
    values: list[float] = []
    for server in servers:
        spec = server.service.spec
        values += (
            server.total_cpu_seconds,
            spec.cpus * 100_000.0,
            server.working_set_mib * MIB,
            spec.memory_limit_mib * MIB,
        )
        if spec.disk is not None:
            values += (server.disk_mib * MIB, spec.disk_limit_mib * MIB)
    return Exposition(layout, values)
