"""E: what clients do besides asking."""

from __future__ import annotations

from faults import deeds
from faults.entry import Deed, Entry

CLIENTS = (
    Entry(
        121,
        "leaves at each moment",
        "nothing stays under way; recorded",
        (Deed(deeds.left),),
        (
            "tests/http/test_leaving.py::test_a_client_that_leaves_a_stream_closes_the_upstream_and_is_recorded",
            "tests/http/test_leaving.py::test_nothing_stays_of_those_who_left",
        ),
    ),
    Entry(
        122,
        "half-closes, still reads",
        "an answer, or taken for one that left; never a hang",
        (Deed(deeds.half_closed),),
    ),
    Entry(
        123,
        "stops reading before a fast upstream",
        "memory stays below a high-water mark",
        (Deed(deeds.unread),),
        ("tests/http/test_leaving.py::test_a_client_that_stops_reading_holds_the_upstream_back",),
    ),
    Entry(
        124,
        "sends its request a byte at a time",
        "408 or closed when its time is over",
        (Deed(deeds.dripping), Deed(deeds.hung)),
    ),
    Entry(125, "200 silent sockets", "others are answered; they are closed", (Deed(deeds.silent),)),
    Entry(126, "no descriptor left", "recovers as soon as there is one", (Deed(deeds.without_files),)),
    Entry(127, "1,000 times connects and closes", "nothing stays", (Deed(deeds.come_and_gone),)),
    Entry(128, "one idempotency key twice at once", "two answers: none is promised to be one", (Deed(deeds.twice),)),
    Entry(
        129,
        "a hundred unknown keys",
        "401 each, one record each, no key in it",
        (Deed(deeds.strangers),),
        ("tests/http/test_auth.py::test_a_key_is_compared_in_constant_time_found_or_not",),
    ),
    Entry(130, "a burst of blocked requests", "400 each; no more is written than for others", (Deed(deeds.blocked),)),
)
