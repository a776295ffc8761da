"""Tables: cells, column aliases, manifests."""
