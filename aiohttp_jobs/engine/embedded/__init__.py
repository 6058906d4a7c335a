"""The engine for one machine: everything is stored in files, and jobs run in or beside the host."""
