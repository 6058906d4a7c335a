"""How fast aiohttp-jobs is, side by side with the machine's limit and with what else one could use."""
