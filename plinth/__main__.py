"""`python -m plinth`: the `plinth` command."""

from plinth.cli import main

main()
