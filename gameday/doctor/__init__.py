"""Why: when something does not work, a person should be told what to mend, not left to guess.

Looks at everything that a run, the guard and the stop lean on, one line a check: what was looked at,
what was found, how to mend it. It changes nothing: where only a write would tell, it asks the API
server for a dry run. Prefect is looked at by ``flows.diagnosis``.
"""
