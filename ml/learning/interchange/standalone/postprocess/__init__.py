"""Predictions from the outputs of graphs, one module for each kind.

`TASKS` of a module names the tasks that it is for.
"""
