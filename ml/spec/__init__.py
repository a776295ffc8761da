"""What a user may ask of a training job, and the check of it."""
