"""Models of several parts of a row beside models of one part."""
