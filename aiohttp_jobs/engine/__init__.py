"""Storage engines: the protocol in ``base``, and its implementations ``embedded`` (files) and
``postgres``.
"""
