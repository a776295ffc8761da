"""The inference protocol of Hugging Face and text-embeddings-inference at `/hf/{model}`.

It is translated to the native services; there is no second path to a model.
"""
