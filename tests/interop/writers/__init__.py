"""Programs that write a dataset with one tool: `program.py FORM FOLDER`.

The Python of the tools runs them.
"""
