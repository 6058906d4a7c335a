"""Runs commands on this machine: the three modes, the interpreters, and the capture of output.

Knows no engine.
"""
