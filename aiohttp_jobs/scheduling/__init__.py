"""Schedules: cron lines, stored durably and fired exactly once for each moment."""
