"""Local stack: `plinth up` and the processes that it starts."""
