"""Datasets over HTTP: create, list, report, derive, delete."""
