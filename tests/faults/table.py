"""The table of faults, in its order."""

from __future__ import annotations

from faults.bodies import BODIES
from faults.clients import CLIENTS
from faults.elsewhere import ENGINES, GUARDS, HOSTS, LOG
from faults.framing import FRAMING
from faults.upstreams import UPSTREAMS

ENTRIES = (*FRAMING, *BODIES, *GUARDS, *UPSTREAMS, *CLIENTS, *ENGINES, *LOG, *HOSTS)
