"""PowerShell in each execution mode, in processes that were started ahead of time."""
