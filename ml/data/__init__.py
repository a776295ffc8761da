"""Datasets: files of any supported format to checked, stored rows."""
