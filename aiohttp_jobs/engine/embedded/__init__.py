"""The engine of one machine: the file system keeps everything, and jobs run in or beside the host."""
