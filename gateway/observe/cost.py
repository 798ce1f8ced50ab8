"""What an exchange cost: tokens by class, times the price of each class, plus the time of a GPU.

Prices come from the file litellm ships, read as data (litellm itself is never imported), and from the operator's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson

_FILE = "model_prices_and_context_window_backup.json"
_TIER = re.compile(r"input_cost_per_token_above_(\d+)k_tokens")
_DATED = re.compile(r"(?:[-@](?:20\d{6}|20\d\d-\d\d-\d\d)|-latest)$")


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens by class, as the provider bills them. `input` includes `cached`; `output` includes `reasoning`.

    `estimated` is true where the provider said nothing and the tokens were counted from the text.
    """

    input: int = 0
    cached: int = 0
    output: int = 0
    reasoning: int = 0
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Cost:
    """US dollars by token class; the classes do not overlap and `total` is their sum.

    `input` is what was not cached, `output` what was not reasoning. `source` says whose price was used: `config`,
    `litellm`, `config+litellm`, `own` (a machine of the operator's) or `none` (no price is known).
    """

    input: float = 0.0
    cached: float = 0.0
    output: float = 0.0
    gpu: float = 0.0
    source: str = "none"
    reasoning: float = 0.0

    @property
    def total(self) -> float:
        return self.input + self.cached + self.output + self.reasoning + self.gpu


@dataclass(frozen=True, slots=True)
class Rate:
    """US dollars per token. From `above[n][0]` input tokens on, `above[n][1]` holds for the whole request."""

    input: float = 0.0
    cached: float = 0.0
    output: float = 0.0
    reasoning: float = 0.0
    above: tuple[tuple[int, Rate], ...] = ()

    def at(self, tokens: int) -> Rate:
        return next((rate for floor, rate in reversed(self.above) if tokens > floor), self)


@dataclass(frozen=True, slots=True)
class Tariff:
    """What the operator says of one upstream: US dollars per *million* tokens where given, and whose machine it is.

    `own` machines (embedded models; any upstream with `gpu_usd_per_hour`) are never priced from litellm's file.
    """

    input: float | None = None
    cached: float | None = None
    output: float | None = None
    gpu_usd_per_hour: float | None = None
    own: bool = False

    @property
    def metered(self) -> bool:
        return not self.own and self.gpu_usd_per_hour is None

    @property
    def given(self) -> bool:
        return (self.input, self.cached, self.output) != (None, None, None)


@dataclass(frozen=True, slots=True)
class Prices:
    """Rates by model name, and the operator's tariffs by upstream name."""

    rates: Mapping[str, Rate]
    providers: Mapping[str, str]
    tariffs: Mapping[str, Tariff]
    _found: dict[str, Rate | None] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def load(cls, tariffs: Mapping[str, Tariff] | None = None, file: Path | None = None) -> Prices:
        """Read the price file once (about 30 ms for 4,000 models); without litellm only `tariffs` have prices."""
        entries = _entries(file or _installed())
        rates = {name: _rate(entry) for name, entry in entries.items()}
        providers = {name: str(entry.get("litellm_provider", "")) for name, entry in entries.items()}
        return cls(rates, providers, dict(tariffs or {}))

    def cost(self, usage: Usage, *, model: str, upstream: str = "", busy_s: float = 0.0) -> Cost:
        """Price `usage` of `model` as answered by `upstream`.

        `busy_s` is the share of a GPU's time the exchange took, in seconds; it costs where `gpu_usd_per_hour` is set.
        """
        tariff = self.tariffs.get(upstream, Tariff())
        listed = self.rate(model) if tariff.metered else None
        rate = _with(tariff, listed or Rate()).at(usage.input)
        cached = max(0, min(usage.cached, usage.input))
        reasoning = max(0, min(usage.reasoning, usage.output))
        return Cost(
            input=max(0, usage.input - cached) * rate.input,
            cached=cached * rate.cached,
            output=max(0, usage.output - reasoning) * rate.output,
            reasoning=reasoning * rate.reasoning,
            gpu=max(0.0, busy_s) * (tariff.gpu_usd_per_hour or 0.0) / 3600,
            source=_source(tariff, listed),
        )

    def rate(self, model: str) -> Rate | None:
        """The listed rate of `model`, or None. Remembers answers, for as many names as there are models at most."""
        if model not in self._found and len(self._found) <= len(self.rates):
            self._found[model] = self._look_up(model)
        return self._found[model] if model in self._found else self._look_up(model)

    def _look_up(self, model: str) -> Rate | None:
        return next((self.rates[name] for name in self._names(model)), None)

    def _names(self, model: str) -> Iterator[str]:
        """As asked; without the provider's name, if the entry is that provider's; the same without a date."""
        for name in dict.fromkeys((model, _DATED.sub("", model))):
            if name in self.rates:
                yield name
            provider, slash, bare = name.partition("/")
            if slash and bare in self.rates and re.split(r"[-_]", self.providers[bare])[0] == provider.split("_")[0]:
                yield bare


def _installed() -> Path | None:
    spec = find_spec("litellm")  # locates a top-level package without running any of it
    folders = (spec and spec.submodule_search_locations) or ()
    return next((Path(folder) / _FILE for folder in folders), None)


def _entries(file: Path | None) -> dict[str, dict[str, Any]]:
    if file is None or not file.is_file():
        return {}
    read = orjson.loads(file.read_bytes())
    return {name: entry for name, entry in read.items() if isinstance(entry.get("input_cost_per_token"), int | float)}


def _rate(entry: Mapping[str, Any]) -> Rate:
    tiers = sorted(int(m[1]) for m in map(_TIER.fullmatch, entry) if m)
    above = tuple((1000 * k, _plain(entry, f"_above_{k}k_tokens")) for k in tiers)
    return replace(_plain(entry), above=above)


def _plain(entry: Mapping[str, Any], tier: str = "") -> Rate:
    """One tier of an entry. A class without a price of its own costs what its parent class costs."""
    paid = float(entry[f"input_cost_per_token{tier}"])
    made = _first(entry, f"output_cost_per_token{tier}", "output_cost_per_token", default=0.0)
    return Rate(
        input=paid,
        cached=_first(entry, f"cache_read_input_token_cost{tier}", default=paid),
        output=made,
        reasoning=_first(entry, f"output_cost_per_reasoning_token{tier}", default=made),
    )


def _first(entry: Mapping[str, Any], *names: str, default: float) -> float:
    return next((float(entry[n]) for n in names if isinstance(entry.get(n), int | float)), default)


def _with(tariff: Tariff, listed: Rate) -> Rate:
    """The operator's prices over the listed ones. An own input price without a cached one holds for both."""
    if not tariff.given:
        return listed
    above = tuple((floor, _with(tariff, rate)) for floor, rate in listed.above)
    paid = _million(tariff.input, listed.input)
    cached = _million(tariff.cached, listed.cached if tariff.input is None else paid)
    made = _million(tariff.output, listed.output)
    return Rate(paid, cached, made, listed.reasoning if tariff.output is None else made, above)


def _million(own: float | None, listed: float) -> float:
    return listed if own is None else own / 1e6


def _source(tariff: Tariff, listed: Rate | None) -> str:
    if not tariff.metered:
        return "config" if tariff.given else "own"
    complete = tariff.input is not None and tariff.output is not None
    used = ("config" if tariff.given else "", "litellm" if listed and not complete else "")
    return "+".join(filter(None, used)) or "none"
