"""PyAirtable in a box: the platform, its cluster, Chaos Mesh, Prometheus and Slack, behind real HTTP APIs."""
