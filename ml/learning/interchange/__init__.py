"""Import of models from other libraries, and export to them."""
