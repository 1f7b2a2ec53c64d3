"""Why: production code asks Prometheus, so the sandbox answers as one.

A time series store, a scraper on the world's time line, a PromQL evaluator with the semantics of
Prometheus 2.42 and its HTTP API. What is measured is left to whatever is ``Scrapeable``.
"""
