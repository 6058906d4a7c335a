"""A job's output: captured, masked, and limited in size."""
