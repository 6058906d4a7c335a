"""What callers can do, one module for each resource: the only door for HTTP, schedules and the page."""
