"""The plugin as a server of the Model Context Protocol, for agents, over the same services as the HTTP API.

Nothing is kept between requests, so any process can answer each: the newest revision of the protocol has no
sessions, and older ones let a server do without.
"""
