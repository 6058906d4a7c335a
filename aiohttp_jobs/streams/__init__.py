"""What is watched as it happens: the output of one job, and the list of jobs."""
