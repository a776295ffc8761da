"""Owners of jobs, their quotas, and the order in which jobs run."""
