"""What others might add: an execution mode, a notice channel, an engine, each in a file of its own."""
