"""The command line. `commands` names the commands and teaches them; each does its work in a module of its own, imported
only when it is asked for, so that `tidegate --help` is quick.
"""

from gateway.cli.commands import main

__all__ = ["main"]
