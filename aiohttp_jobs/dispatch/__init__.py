"""From accepted to finished: what waits, what runs, and the periodic task that moves jobs on."""
