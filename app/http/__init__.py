"""HTTP as the service speaks it: errors, gate, bodies, logs, processes."""
