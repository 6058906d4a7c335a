"""The host's own functions as jobs: registered, described as forms, called with checked values."""
