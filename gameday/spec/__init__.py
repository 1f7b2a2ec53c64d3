"""What is declared: pydantic models of everything in ``experiments/``, and how files become them.

It talks to nothing outside and knows nothing of clusters: what pods a target really means is the
plan's to find out.
"""
