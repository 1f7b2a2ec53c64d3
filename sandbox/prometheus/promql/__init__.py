"""Why: PromQL is the language of every steady state, so the sandbox must speak it like the real thing.

The grammar is promql-parser's; evaluation is ours, with the semantics of Prometheus 2.42. A real
Prometheus agrees with it, query by query, in ``tests/contract``.
"""
