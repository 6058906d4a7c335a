"""The plugin as a server of the Model Context Protocol, for agents: another way in, over the same services.

It keeps nothing between two requests, so that any process may answer each: the newest revision has no
sessions, and the older ones let a server do without.
"""
