"""Experiment + environment + cluster -> plan: the pods, the objects, the timeline, the refusals."""
