"""Prediction with a package, without torch: sessions, batch planning, predictor."""
