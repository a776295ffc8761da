"""One file for each way to answer; `TASKS` in it says which tasks do so."""
