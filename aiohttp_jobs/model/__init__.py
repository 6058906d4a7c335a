"""What everything else speaks in: jobs, results, schedules, templates, notices, keys. Does no I/O."""
