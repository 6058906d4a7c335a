"""HTTP handlers, one module for each resource.

They parse the request, call a service, and build the response.
"""
