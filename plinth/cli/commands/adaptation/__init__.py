"""Commands of models that adapt to their traffic."""
