"""What callers can do, one service for each resource. HTTP, schedules and the page call nothing else."""
