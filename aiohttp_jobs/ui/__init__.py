"""The web page, at the mount point: its HTML and its assets. All data comes from the API."""
