"""Adaptation of models to their traffic: watches, records of requests, feedback."""
