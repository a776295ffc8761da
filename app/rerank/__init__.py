"""Ranking of documents at `/v1/rerank` and `/v2/rerank`, the protocol of Cohere, Jina and vLLM.

It is translated to the native services; there is no second path to a model.
"""
