"""Search for wrong labels by the predictions of a small cross-validated model."""
