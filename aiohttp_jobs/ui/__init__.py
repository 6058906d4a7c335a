"""The page for managing jobs, at the mount point: its shell and its assets; all data comes from the API."""
