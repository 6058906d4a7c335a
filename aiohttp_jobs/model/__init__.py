"""The data types that all layers share: jobs, results, schedules, templates, notices, keys. Does no I/O."""
