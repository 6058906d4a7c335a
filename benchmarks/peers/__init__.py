"""The others: each in a virtual environment of its own, driven in the same way.

Nothing here but ``process`` and ``environments`` is imported by the benchmark's own process.
"""
