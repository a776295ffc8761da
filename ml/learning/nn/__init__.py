"""Networks: architectures, heads, objectives, layers."""
