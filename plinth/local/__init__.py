"""The local stack: `plinth up` and the processes it starts."""
