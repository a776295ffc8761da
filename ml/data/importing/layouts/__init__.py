"""Layouts of single files, which are rewritten as tables or conversations."""
