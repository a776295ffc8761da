"""The API: routes, serving, and the process that listens."""
