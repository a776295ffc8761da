"""The torch half: how a model learns. Everything that needs torch is here, and nothing else of `ml` imports it."""
