"""Training specs: schema, check, and filling of defaults."""
