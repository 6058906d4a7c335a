"""Clients that others generate from the document."""
