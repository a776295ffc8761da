"""Layouts of published corpora whose files only say together what their rows are."""
