"""What runs inside a job process: standard library only, started by path, imported by nobody but MainLoop."""
