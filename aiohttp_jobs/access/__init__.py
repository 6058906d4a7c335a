"""Authorization and limits: who may do what, and how much, at each request and again before a job runs."""
