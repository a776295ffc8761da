"""Pages for browsers: login, data, jobs, models, reports."""
