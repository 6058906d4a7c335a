"""HTTP handlers, one module per resource: they parse, call the service and shape the answer."""
