"""What a model is and how it learns. No database, no HTTP, no queue; torch only in `ml.learning`."""
