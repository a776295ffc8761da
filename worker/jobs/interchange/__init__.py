"""Models of other libraries: import, export, download from a hub."""
