"""What people copy from Chaos Mesh's documentation works as it is, and reaches Chaos Mesh as it is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import pytest
from ruamel.yaml import YAML

from gameday.plan.objects import chaos_object
from gameday.spec.catalogue import Catalogue

CATALOGUE = Catalogue()

HEAD = """
name: trial
title: A trial
hypothesis: It holds.
category: basic
environments: [staging]
owner: platform-team
steadyState:
  - {name: availability, signal: availability, expect: ">= 0.99"}
stages:
  - name: only
    duration: 5m
    faults:
"""


def written(kind: str, spec: str) -> str:
    block = indent(dedent(spec).strip(), " " * 10)
    return f"{HEAD}      - kind: {kind}\n        target: api-gateway\n        spec:\n{block}\n"


# Chaos Mesh's documentation shows these, each with a selector and a duration beside it.
DOCUMENTED = {
    "pod-failure": ("PodChaos", "{action: pod-failure, mode: one}"),
    "pod-kill": ("PodChaos", "{action: pod-kill, mode: one, gracePeriod: 0}"),
    "container-kill": ("PodChaos", "{action: container-kill, mode: one, containerNames: ['prometheus']}"),
    "network delay": (
        "NetworkChaos",
        """
        action: delay
        mode: one
        delay: {latency: '10ms', correlation: '100', jitter: '0ms'}
        """,
    ),
    "network delay with reordering": (
        "NetworkChaos",
        """
        action: delay
        mode: all
        delay:
          latency: 100ms
          reorder: {reorder: '0.5', correlation: '50', gap: 5}
        """,
    ),
    "network loss": ("NetworkChaos", "{action: loss, mode: one, loss: {loss: '60', correlation: '25'}}"),
    "network duplicate": (
        "NetworkChaos",
        "{action: duplicate, mode: one, duplicate: {duplicate: '40', correlation: '25'}}",
    ),
    "network corrupt": (
        "NetworkChaos",
        "{action: corrupt, mode: one, corrupt: {corrupt: '40', correlation: '25'}}",
    ),
    "network partition": (
        "NetworkChaos",
        """
        action: partition
        mode: all
        direction: both
        target:
          mode: all
          selector:
            namespaces: [default]
            labelSelectors: {app: app2}
        """,
    ),
    "network partition from the outside": (
        "NetworkChaos",
        "{action: partition, mode: one, direction: both, externalTargets: [1.1.1.1, www.google.com]}",
    ),
    "network bandwidth": (
        "NetworkChaos",
        """
        action: bandwidth
        mode: all
        bandwidth: {rate: '1mbps', limit: 20971520, buffer: 10000, peakrate: 1000000, minburst: 1500}
        """,
    ),
    "network emulation": (
        "NetworkChaos",
        """
        action: netem
        mode: fixed
        value: '2'
        device: eth0
        targetDevice: eth1
        delay: {latency: 90ms}
        loss: {loss: '25'}
        rate: {rate: 10mbps}
        """,
    ),
    "stress on memory": (
        "StressChaos",
        "{mode: one, stressors: {memory: {workers: 4, size: '256MB', oomScoreAdj: -1000, time: 5m}}}",
    ),
    "stress on CPU and memory": (
        "StressChaos",
        """
        mode: all
        containerNames: [app]
        stressors:
          cpu: {workers: 1, load: 20, options: ['--cpu-method', 'pi']}
          memory: {workers: 1, size: '50%', options: ['']}
        """,
    ),
    "stress in stress-ng's words": ("StressChaos", "{mode: one, stressngStressors: '--iomix 2'}"),
    "file latency": (
        "IOChaos",
        """
        action: latency
        mode: one
        volumePath: /var/run/etcd
        path: '/var/run/etcd/**/*'
        delay: '100ms'
        percent: 50
        """,
    ),
    "file fault": (
        "IOChaos",
        """
        action: fault
        mode: one
        volumePath: /var/run/etcd
        path: /var/run/etcd/**/*
        errno: 5
        percent: 50
        methods: [open, READ]
        containerNames: [etcd]
        """,
    ),
    "file attributes": (
        "IOChaos",
        """
        action: attrOverride
        mode: one
        volumePath: /var/run/etcd
        path: /var/run/etcd/**/*
        attr: {perm: 72, atime: {sec: 1, nsec: 0}}
        percent: 10
        """,
    ),
    "file mistakes": (
        "IOChaos",
        """
        action: mistake
        mode: one
        volumePath: /var/run/etcd
        path: /var/run/etcd/**/*
        mistake: {filling: zero, maxOccurrences: 1, maxLength: 10}
        methods: [READ, WRITE]
        percent: 10
        """,
    ),
    "time": (
        "TimeChaos",
        "{mode: one, timeOffset: '-10m100ns', clockIds: [CLOCK_REALTIME], containerNames: [app]}",
    ),
    "HTTP abort": (
        "HTTPChaos",
        "{mode: all, target: Request, port: 80, method: GET, path: /api, abort: true}",
    ),
    "HTTP delay of responses": (
        "HTTPChaos",
        """
        mode: random-max-percent
        value: '50'
        target: Response
        port: 80
        path: '*'
        code: 200
        request_headers: {Cookie: a=b}
        response_headers: {Server: nginx}
        delay: 10s
        """,
    ),
    "HTTP replace and patch": (
        "HTTPChaos",
        """
        mode: all
        target: Response
        port: 80
        method: GET
        path: /api
        replace:
          path: /api/v2/
          method: DELETE
          code: 404
          body: eyJmb28iOiAiYmFyIn0K
          queries: {foo: unknown}
          headers: {Content-Type: application/xml}
        patch:
          body: {type: JSON, value: '{"foo": "bar"}'}
          queries: [[foo, bar], [foo, unknown]]
          headers: [[Token, <one token>], [Token, <another token>]]
        """,
    ),
    "HTTP over TLS": (
        "HTTPChaos",
        """
        mode: one
        target: Request
        port: 443
        abort: true
        tls:
          secretName: certificates
          secretNamespace: default
          certificateName: tls.crt
          privateKeyName: tls.key
          caName: ca.crt
        """,
    ),
    "DNS": (
        "DNSChaos",
        "{action: random, mode: all, patterns: [google.com, chaos-mesh.*, 'github.?om']}",
    ),
    "DNS errors on another cluster": ("DNSChaos", "{action: error, mode: all, remoteCluster: other}"),
}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_an_example_of_chaos_meshs_documentation_is_accepted(name: str, tmp_path: Path) -> None:
    path = tmp_path / "trial.yaml"
    path.write_text(written(*DOCUMENTED[name]), encoding="utf-8")
    assert CATALOGUE.check(path) == []


@pytest.mark.parametrize("name", DOCUMENTED)
def test_what_was_written_reaches_chaos_mesh_word_for_word(name: str, tmp_path: Path) -> None:
    path = tmp_path / "trial.yaml"
    path.write_text(written(*DOCUMENTED[name]), encoding="utf-8")
    experiment = CATALOGUE.load(path)
    stage = experiment.stages[0]
    body = chaos_object(
        stage.faults[0],
        name="one",
        run="run",
        experiment=experiment,
        stage=stage,
        duration=timedelta(minutes=5),
        platform=CATALOGUE.platform,
        environment=CATALOGUE.platform.environment("staging"),
    )
    declared = YAML(typ="safe").load(dedent(DOCUMENTED[name][1]))
    assert missing(declared, body["spec"]) == []
    assert body["spec"]["duration"] == "5m"


def missing(wanted: Any, found: Any, at: str = "spec") -> list[str]:
    """Where ``found`` lacks something of ``wanted``."""
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        return [one for key, value in wanted.items() for one in missing(value, found.get(key), f"{at}.{key}")]
    return [] if wanted == found else [f"{at}: {wanted!r} became {found!r}"]
