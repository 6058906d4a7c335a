"""Operating system services: files, threads, disk errors. Knows nothing of jobs."""
