"""The Open Inference Protocol (version 2) at `/v2`, translated to the native services.

There is no second path to a model.
"""
