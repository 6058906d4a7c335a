"""The host's own functions in each mode: on the event loop, in warm workers, and in their own processes."""
