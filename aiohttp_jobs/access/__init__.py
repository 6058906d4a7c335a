"""Who may do what, and how much of it: asked by every service, and again before a job runs."""
