"""How well a scorer tells good from bad, on anybody's labelled rows: reading them, scoring, figures, reports; and the
training of heads, which is measured by the same means. Runs from the command line, never in the gateway's processes.
"""
