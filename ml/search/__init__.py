"""Search for better settings of a fine-tuning: space, strategies, halving, importance. No torch."""
