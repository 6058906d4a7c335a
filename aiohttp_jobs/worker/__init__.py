"""How a command is run: the three modes, the interpreters, and the capture of what they print."""
