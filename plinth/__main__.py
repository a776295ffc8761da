"""`python -m plinth`: the `plinth` command."""

from plinth.cli.main import main

main()
