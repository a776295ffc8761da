"""Running a package without torch: sessions, batches, predictor."""
