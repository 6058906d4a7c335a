"""Authentication: sessions, API keys, and the middleware that finds the caller's `Identity`."""
