"""Live views: the output and state of one job, and the list of jobs."""
