"""Saved commands with typed parameters, which people may run who may not write commands."""
