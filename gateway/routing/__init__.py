"""Who answers a model's name, how requests are spread over upstreams, and when another one is asked.

    table       every name there is, with aliases and wildcards, and its route
    route       a name's policy and its arms; which arm a request falls in
    group       one arm's members and its settings
    asking      one request: who is asked, who next, what each try says
    standing    how one upstream stands in this process: gate, breaker, latency, rest
    fleet       all upstreams as they stand; what the log and the metrics are told of them

Beneath them, machines without I/O: `balance`, `sticky`, `wildcard`, `breaker`, `budget`, `backoff`, `latency`,
`recent`, `faults`; and `gate`, where requests wait for a place.
"""

from gateway.routing.asking import Answered, Asked, Errand
from gateway.routing.fleet import Fleet
from gateway.routing.route import Route
from gateway.routing.table import Routes
from gateway.routing.target import Member, Target

__all__ = ["Answered", "Asked", "Errand", "Fleet", "Member", "Route", "Routes", "Target"]
