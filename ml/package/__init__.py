"""Model packages: the folders in which trained networks are stored."""
