"""Training and export of models: everything that needs torch."""
