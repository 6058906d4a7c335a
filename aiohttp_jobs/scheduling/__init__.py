"""Jobs that repeat: cron schedules, kept on disk and fired exactly once for each moment."""
