"""The table of faults, in its order."""

from __future__ import annotations

from faults.bodies import BODIES
from faults.clients import CLIENTS
from faults.elsewhere import ENGINES, GUARDS, HOSTS, LOG
from faults.framing import FRAMING
from faults.streams import STREAMS
from faults.upstreams import UPSTREAMS

_ALL = (*FRAMING, *BODIES, *GUARDS, *UPSTREAMS, *STREAMS, *CLIENTS, *ENGINES, *LOG, *HOSTS)
ENTRIES = tuple(sorted(_ALL, key=lambda entry: entry.number))
