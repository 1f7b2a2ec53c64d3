"""Why: an experiment needs a platform to break, so here is PyAirtable in a box.

A seeded, discrete-event model of the services of platform.yaml: every request takes its way through
replicas, queues, pools, caches, retries and circuit breakers, faults act where Chaos Mesh would
make them act, and the metrics follow. Which pods exist and which faults act is told from outside
(``sandbox.wiring.Platform``); who scrapes the metrics is not known here.
"""
