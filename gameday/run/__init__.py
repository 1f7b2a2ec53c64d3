"""Carrying out a plan, one step a module: what a run does between its first look and its verdict."""
