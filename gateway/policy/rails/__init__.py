"""The kinds of rail, one module each."""
