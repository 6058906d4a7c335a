"""What every engine does with a job that it has claimed: running it, and telling of it. Knows no engine."""
