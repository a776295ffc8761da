"""Encoding of inputs as arrays: one module for each encoder, by its name."""
