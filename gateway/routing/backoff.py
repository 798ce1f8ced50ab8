"""For how long to wait before asking again: pauses that grow and are drawn at random."""

from __future__ import annotations

from random import Random


def pause(rng: Random, again: int, first_s: float, most_s: float) -> float:
    """Seconds before retry number `again`, from 0. Full jitter, which spreads a crowd best (Brooker 2015)."""
    return rng.uniform(0.0, min(most_s, first_s * 2.0**again))
