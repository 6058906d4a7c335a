"""Processes: started, watched, ended with everything that they started."""
