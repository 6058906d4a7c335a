"""Child processes: started, watched, and ended with all their descendants."""
