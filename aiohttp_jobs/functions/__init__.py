"""The host's own functions as jobs: registered, described as forms, and called with validated values."""
