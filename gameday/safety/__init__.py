"""What keeps people and platform safe: the emergency stop, the leases of a run, the shield around a stop.

None of it needs Prefect, Prometheus, Slack or the journal.
"""
