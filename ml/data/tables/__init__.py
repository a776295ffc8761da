"""Tables: cells, detection of columns, manifests."""
