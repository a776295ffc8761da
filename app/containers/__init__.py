"""Contracts of model containers, translated to the native services.

They are those of SageMaker and MLflow, of Vertex, KServe (version 1) and TF Serving, and of TorchServe.

There is no second path to a model.
"""
