"""The OpenAI protocol at `/v1`, translated to the native services.

There is no second path to a model.
"""
