"""The host's own functions in each mode: on the event loop, in warm workers, in a process of their own."""
