"""PowerShell in each execution mode, by processes of it that were started ahead."""
