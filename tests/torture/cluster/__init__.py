"""Hosts and workers on one PostgreSQL, tortured: `make torture-cluster`; nothing of it runs in the tests."""
