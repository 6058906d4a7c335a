"""Who is calling: sessions, API keys, and the middleware that yields an Identity."""
