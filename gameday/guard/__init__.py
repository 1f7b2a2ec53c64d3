"""The guard: one small process in the cluster that ends what must not go on, whoever began it.

Without Prefect and without a database. ``guard`` puts the parts together: ``view`` sees, ``rules``
judge, ``signals`` look at the platform, ``acting`` ends through the emergency stop, ``leader``
decides which replica may.
"""
