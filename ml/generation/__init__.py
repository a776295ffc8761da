"""Autoregressive generation: loop, sampling, detokenizer, beam search."""
