"""What is asked of the operating system: files, threads, disks that refuse. Knows nothing of jobs."""
