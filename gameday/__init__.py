"""The engine of pyairtable-chaos: what an experiment is, how it runs safely, and what it proved.

It knows nothing of Prefect: ``tasks`` and ``flows`` call it, and so does the command ``gameday``.
"""
