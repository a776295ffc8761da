"""The `plinth` command."""
