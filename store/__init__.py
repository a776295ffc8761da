"""State that outlives a process: database rows, blobs, messages to workers."""
