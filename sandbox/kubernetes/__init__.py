"""Why: a Kubernetes API server in a box, so that the clients of production are the clients of every test.

``cluster.Cluster`` is the door. Inside, ``api`` knows what an operation means, ``http`` how it is
asked for, ``store`` what exists; the controllers (``workloads``, ``kubelet``, ``endpoints``,
``garbage``) are the cluster's own life. What a pod answers belongs to ``sandbox.twin``, what a fault
is to ``sandbox.chaosmesh``.
"""
