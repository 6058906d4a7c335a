"""``/mcp`` as agents meet it: the SDK's own client, and what is sent by hand."""
