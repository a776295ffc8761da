"""Commands of `plinth`, one module for each resource."""
