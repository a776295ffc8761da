"""Programs that run as child processes of the worker, one for each kind of job."""
