"""Hyperparameter search for a fine-tuning: space, strategies, halving, importance. No torch."""
