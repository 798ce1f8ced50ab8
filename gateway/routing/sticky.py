"""The same key to the same upstream: rendezvous hashing, with bounded loads.

Adding or taking away an upstream moves only the keys that go to it or came from it. Nothing is remembered, so
processes agree without talking. Thaler and Ravishankar 1998; weights after Schindelhauer and Schomaker 2005; bounded
loads after Mirrokni, Thorup and Zadimoghaddam 2016.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from math import ceil, log

from gateway.routing.target import Member

_BITS = 52  # of a float between 0.5 and 1, so that no place is rounded up to 1


def place(*words: str) -> float:
    """Where words fall between 0 and 1, both left out; the same in every process."""
    joined = "\0".join(words).encode("utf-8", "surrogatepass")
    number = int.from_bytes(blake2b(joined, digest_size=8).digest(), "big") >> (64 - _BITS)
    return (number + 0.5) / 2.0**_BITS


def order(key: str, names: Sequence[tuple[str, float]]) -> list[int]:
    """Numbers of the `names`, each with its weight, in the order in which `key` prefers them."""
    scores = [-weight / log(place(name, key)) for name, weight in names]
    return sorted(range(len(names)), key=lambda n: -scores[n])


def chosen(key: str, members: Sequence[Member], fit: Sequence[Member], spread: float) -> Member:
    """The member that `key` prefers of those that are `fit`, and that has not much more under way than its share.

    `members` are all, so that a key comes home when its upstream does.
    """
    preferred = [members[n] for n in order(key, [(_name(member), member.weight) for member in members])]
    ready = preferred if len(fit) == len(members) else [member for member in preferred if member in fit]
    busy = sum([member.standing.gate.busy for member in ready]) + 1
    weight = sum([member.weight for member in ready])
    for member in ready:
        if member.standing.gate.busy + 1 <= ceil(spread * busy * member.weight / weight):
            return member
    return ready[0]


def _name(member: Member) -> str:
    return f"{member.standing.name} {member.target.spec.model or ''}"
