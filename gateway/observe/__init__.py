"""What is left behind: the event catalogue, the log that carries it, metrics folded from it, and prices.

Nobody here knows how a request is served; values come in as plain fields.
"""
