"""Sample, judge, decide: what is watched during a run, and what a sample means."""
