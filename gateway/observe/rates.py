"""What a token of each class costs, as litellm's price file lists it; litellm itself is never imported for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson

_FILE = "model_prices_and_context_window_backup.json"
_ABOVE = re.compile(r"input_cost_per_token_above_(\d+)k_tokens")
_TIER = re.compile(r"input_cost_per_token_(flex|priority|batches|balanced|ultrafast)")

TIERS = MappingProxyType({"batch": "batches", "flex": "flex", "priority": "priority", "scale": "priority"})
"""Service tiers as providers call them in answers, by the name the price file has; others are the default."""


@dataclass(frozen=True, slots=True)
class Rate:
    """US dollars per token of each class.

    From `above[n][0]` input tokens on, `above[n][1]` holds for the whole request; `tiers` are other service tiers.
    """

    input: float = 0.0
    cached: float = 0.0
    output: float = 0.0
    reasoning: float = 0.0
    above: tuple[tuple[int, Rate], ...] = ()
    written: float = 0.0  # into the provider's cache, to be kept for minutes
    written_hour: float = 0.0  # … for an hour
    audio_input: float = 0.0
    audio_output: float = 0.0
    tiers: Mapping[str, Rate] = field(default_factory=dict, hash=False)

    def at(self, tokens: int, tier: str = "") -> Rate:
        """What holds for a request of `tokens` input tokens in `tier`."""
        chosen = self.tiers.get(TIERS.get(tier, tier), self)
        return next((rate for floor, rate in reversed(chosen.above) if tokens > floor), chosen)


def entries(file: Path | None = None) -> dict[str, dict[str, Any]]:
    """Models that are priced by the token, as `file` or the installed litellm lists them; none where neither is."""
    found = file or installed()
    if found is None or not found.is_file():
        return {}
    read = orjson.loads(found.read_bytes())
    return {name: entry for name, entry in read.items() if isinstance(entry.get("input_cost_per_token"), int | float)}


def installed() -> Path | None:
    spec = find_spec("litellm")  # locates a top-level package without running any of it
    folders = (spec and spec.submodule_search_locations) or ()
    return next((Path(folder) / _FILE for folder in folders), None)


def rate(entry: Mapping[str, Any]) -> Rate:
    """The whole rate of one entry of the file."""
    tiers = {m[1]: _stepped(entry, f"_{m[1]}") for m in map(_TIER.fullmatch, entry) if m}
    return replace(_stepped(entry), tiers=tiers)


def _stepped(entry: Mapping[str, Any], tier: str = "") -> Rate:
    """One tier with its steps. A step that a tier has no price for costs what it does in the default tier."""
    above = []
    for step in sorted(int(m[1]) for m in map(_ABOVE.fullmatch, entry) if m):
        suffix = f"_above_{step}k_tokens{tier}"
        known = f"input_cost_per_token{suffix}" in entry
        above.append((1000 * step, _plain(entry, suffix if known else suffix.removesuffix(tier))))
    return replace(_plain(entry, tier), above=tuple(above))


def _plain(entry: Mapping[str, Any], suffix: str) -> Rate:
    """One step of one tier. A class without a price of its own there costs what its parent class does."""
    paid = float(entry[f"input_cost_per_token{suffix}"])
    made = _first(entry, f"output_cost_per_token{suffix}", "output_cost_per_token", default=0.0)
    written = _first(entry, f"cache_creation_input_token_cost{suffix}", default=paid)
    return Rate(
        input=paid,
        cached=_first(entry, f"cache_read_input_token_cost{suffix}", default=paid),
        output=made,
        reasoning=_first(entry, f"output_cost_per_reasoning_token{suffix}", default=made),
        written=written,
        written_hour=_first(entry, f"cache_creation_input_token_cost_above_1hr{suffix}", default=written),
        audio_input=_first(entry, f"input_cost_per_audio_token{suffix}", default=paid),
        audio_output=_first(entry, f"output_cost_per_audio_token{suffix}", default=made),
    )


def _first(entry: Mapping[str, Any], *names: str, default: float) -> float:
    return next((float(entry[n]) for n in names if isinstance(entry.get(n), int | float)), default)
