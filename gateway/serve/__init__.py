"""`tidegate serve`: the supervisor. Imports nothing heavy and touches no request: exchanges go from the HTTP processes
straight to the workers.

    listener    the socket that clients reach
    folder      where sockets and copies of policies lie, for this user alone
    files       what there is, whether it changed, a copy of it
    reading     a configuration, read whole from a copy that nobody edits, or all that is wrong with it
    needs       the child processes that a configuration needs
    crew        those that run: started, waited for, kept as long as something needs them
    fronts      the HTTP processes: started, told what stands, drained
    watch       notices that files changed
    serving     the life of a gateway: start, reload, stop
"""

from gateway.serve.listener import Options
from gateway.serve.serving import run

__all__ = ["Options", "run"]
