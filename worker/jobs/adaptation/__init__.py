"""Programs of the loop that adapts models to their traffic."""
