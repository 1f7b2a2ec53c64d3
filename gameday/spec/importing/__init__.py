"""Manifests of Chaos Mesh that people have become experiments, and nothing of them is lost unsaid."""
