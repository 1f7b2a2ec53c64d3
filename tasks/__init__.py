"""One step each, as Prefect tasks: thin, they call ``gameday`` and add names, retries and artifacts."""
