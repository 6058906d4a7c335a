"""Notices: who is told, by e-mail or webhook, when a job has ended; durable, and harmless to jobs."""
