"""The layers put together: for a host, for a worker beside hosts, and for what the command line does where
none runs. Nothing else imports an engine but ``doctor``.
"""
