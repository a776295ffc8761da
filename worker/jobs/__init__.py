"""Programs that run as child processes, one for each kind of job."""
