"""How gameday talks to the outside: Kubernetes, Chaos Mesh, Prometheus and Slack, by their official SDKs.

Every call has a timeout, is repeated only where that is safe, and fails with an error of
``gameday.errors``. What the answers mean for a run is not decided here.
"""
