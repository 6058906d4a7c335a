"""Where jobs and results are kept: the JobStore protocol and its engines."""
