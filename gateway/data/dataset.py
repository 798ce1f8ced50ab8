"""From examples to a data set: none twice, classes balanced where that is wanted, and parts that share nothing."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from gateway.data.examples import Example
from gateway.data.near import Near, groups

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")
Balance = Literal["label", "topic", "route"]


@dataclass(frozen=True, slots=True)
class Unique:
    """`kept` of all, with how many were the `same` as another, `near` one, and known from elsewhere."""

    kept: Sequence[Example]
    same: int
    near: int
    known: int


def unique(found: Sequence[Example], known: Sequence[str] = ()) -> Unique:
    """The first of what is the same, or almost; nothing that is like a text that is `known`, of a golden set, say.

    Two of one prompt with another label are not the same: each label is looked at by itself.
    """
    outside, counts = Near(), Counter[str]()
    for text in known:
        outside.add(text)
    seen, near, kept = set[tuple[str, str]](), defaultdict[str, Near](Near), list[Example]()
    for one in found:
        if (one.label, one.text) in seen:
            counts["same"] += 1
        elif outside.like(one.opening):
            counts["known"] += 1
        elif near[one.label].add(one.text):
            counts["near"] += 1
        else:
            kept.append(one)
        seen.add((one.label, one.text))
    return Unique(kept, counts["same"], counts["near"], counts["known"])


def balanced(found: Sequence[Example], by: Balance) -> list[Example]:
    """As many of each class as the smallest has; which ones follows from their ids."""
    classes = defaultdict[str, list[Example]](list)
    for one in found:
        classes[getattr(one, by)].append(one)
    least = min(map(len, classes.values()), default=0)
    chosen = {id(one) for each in classes.values() for one in sorted(each, key=_order)[:least]}
    return [one for one in found if id(one) in chosen]


def split(found: Sequence[Example], shares: Sequence[float]) -> Mapping[Part, list[Example]]:
    """Parts by `shares` of conversations: what began alike is in one part, whoever asks and however often."""
    first = groups([one.opening for one in found], alike=0.6)
    parts: dict[Part, list[Example]] = {part: [] for part in PARTS}
    for one, number in zip(found, first, strict=True):
        parts[_part(_place(found[number].opening), shares)].append(one)
    if shares[0] and not parts["train"]:  # so few that chance put none there
        return {"train": list(found), "validation": [], "test": []}
    return parts


def _part(place: float, shares: Sequence[float]) -> Part:
    for part, share in zip(PARTS, shares, strict=True):
        if place < share:
            return part
        place -= share
    return "train"


def _place(text: str) -> float:
    """A number in [0, 1) that belongs to a text."""
    return int.from_bytes(sha256(text.encode("utf-8", "replace")).digest()[:8]) / 2**64


def _order(one: Example) -> str:
    return sha256(f"{one.id} {one.text}".encode("utf-8", "replace")).hexdigest()
