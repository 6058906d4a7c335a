"""Code that runs inside job processes: standard library only, started by path, imported only by MainLoop."""
