"""In which order: Prefect flows. What a step does is in ``tasks``, and how in ``gameday``."""
