"""The catalog of tasks, architectures and formats over HTTP."""
