"""Where jobs are kept and handed out: the protocol in ``base``, and the engines behind it."""
