"""What an exchange cost: tokens by class, times the price of each class, plus the time of a GPU.

Prices come from the file litellm ships (`rates`), and from the operator's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.observe.rates import Rate, entries, rate

__all__ = ["Cost", "Prices", "Rate", "Tariff", "Usage"]

_DATED = re.compile(r"(?:[-@](?:20\d{6}|20\d\d-\d\d-\d\d)|-latest)$")


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens by class, as the provider bills them.

    `input` includes `cached`, `written`, `written_hour` and `audio_input`; `output` includes `reasoning` and
    `audio_output`. `tier` is the service tier that answered. `said` is the usage object as the upstream wrote it.
    `estimated` is true where the provider said nothing and the tokens were counted from the text.
    """

    input: int = 0
    cached: int = 0
    output: int = 0
    reasoning: int = 0
    written: int = 0
    written_hour: int = 0
    audio_input: int = 0
    audio_output: int = 0
    tier: str = ""
    estimated: bool = False
    said: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Cost:
    """US dollars by token class; the classes do not overlap and `total` is their sum.

    `input` and `output` are what no other class is. `extra` is what the operator prices beside tokens: searches, say.
    `source` says whose price was used: `config`, `litellm`, `config+litellm`, `own` (a machine of the operator's) or
    `none` (no price is known).
    """

    input: float = 0.0
    cached: float = 0.0
    output: float = 0.0
    gpu: float = 0.0
    source: str = "none"
    reasoning: float = 0.0
    written: float = 0.0
    audio: float = 0.0
    extra: float = 0.0

    @property
    def total(self) -> float:
        tokens = self.input + self.cached + self.output + self.reasoning + self.written + self.audio
        return tokens + self.extra + self.gpu


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
    written: float | None = None
    audio_input: float | None = None
    audio_output: float | None = None
    extra: Mapping[str, float] = field(default_factory=dict)  # US dollars of one, by JSON pointer into the usage object

    @property
    def metered(self) -> bool:
        return not self.own and self.gpu_usd_per_hour is None

    @property
    def given(self) -> bool:
        tokens = self.input, self.cached, self.output, self.written, self.audio_input, self.audio_output
        return any(price is not None for price in tokens)


_SILENT, _FREE = Tariff(), Rate()  # of whom the operator says nothing; what nobody lists


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
        listed = entries(file)
        providers = {name: str(entry.get("litellm_provider", "")) for name, entry in listed.items()}
        return cls({name: rate(entry) for name, entry in listed.items()}, providers, dict(tariffs or {}))

    def cost(self, usage: Usage, *, model: str, upstream: str = "", busy_s: float = 0.0) -> Cost:
        """Price `usage` of `model` as answered by `upstream`.

        `busy_s` is the share of a GPU's time the exchange took, in seconds; it costs where `gpu_usd_per_hour` is set.
        """
        tariff = self.tariffs.get(upstream, _SILENT)
        listed = self.rate(model) if tariff.metered else None
        each = _with(tariff, listed or _FREE).at(usage.input, usage.tier)
        paid, cached, hour, written, heard = _split(
            usage.input, usage.cached, usage.written_hour, usage.written, usage.audio_input
        )
        made, reasoned, spoken = _split(usage.output, usage.reasoning, usage.audio_output)
        return Cost(
            input=paid * each.input,
            cached=cached * each.cached,
            output=made * each.output,
            reasoning=reasoned * each.reasoning,
            written=written * each.written + hour * each.written_hour,
            audio=heard * each.audio_input + spoken * each.audio_output,
            extra=sum([usd * _number(usage.said, pointer) for pointer, usd in tariff.extra.items()]),
            gpu=max(0.0, busy_s) * (tariff.gpu_usd_per_hour or 0.0) / 3600,
            source=_source(tariff, listed),
        )

    def quote(self, usage: Usage, *, model: str, upstream: str = "") -> float:
        """US dollars that so much input and output would cost, of no other class, without the time of a GPU."""
        tariff = self.tariffs.get(upstream, _SILENT)
        listed = self.rate(model) if tariff.metered else None
        each = _with(tariff, listed or _FREE).at(usage.input, usage.tier)
        return usage.input * each.input + usage.output * each.output

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


def _split(whole: int, *parts: int) -> tuple[int, ...]:
    """What is left of `whole`, then its `parts`, none of them larger than what the ones before it left."""
    if not any(parts):
        return max(0, whole), *parts
    left, taken = max(0, whole), []
    for part in parts:
        taken.append(max(0, min(part, left)))
        left -= taken[-1]
    return left, *taken


def _number(said: Any, pointer: str) -> float:
    """The number at a JSON pointer (RFC 6901) of a usage object; 0 where there is none."""
    for step in pointer.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        said = said.get(key) if isinstance(said, dict) else None
    return float(said) if isinstance(said, int | float) and not isinstance(said, bool) and 0 <= said < 1e9 else 0.0


def _with(tariff: Tariff, listed: Rate) -> Rate:
    """The operator's prices over the listed ones. An own price of input or output holds for its classes as well."""
    if not tariff.given:
        return listed
    paid, made = _million(tariff.input, listed.input), _million(tariff.output, listed.output)
    heard, spoken = tariff.input is not None, tariff.output is not None
    return Rate(
        input=paid,
        cached=_million(tariff.cached, paid if heard else listed.cached),
        output=made,
        reasoning=made if spoken else listed.reasoning,
        above=tuple((floor, _with(tariff, each)) for floor, each in listed.above),
        written=_million(tariff.written, paid if heard else listed.written),
        written_hour=_million(tariff.written, paid if heard else listed.written_hour),
        audio_input=_million(tariff.audio_input, paid if heard else listed.audio_input),
        audio_output=_million(tariff.audio_output, made if spoken else listed.audio_output),
        tiers={name: _with(tariff, each) for name, each in listed.tiers.items()},
    )


def _million(own: float | None, listed: float) -> float:
    return listed if own is None else own / 1e6


def _source(tariff: Tariff, listed: Rate | None) -> str:
    if not tariff.metered:
        return "config" if tariff.given else "own"
    complete = tariff.input is not None and tariff.output is not None
    used = ("config" if tariff.given else "", "litellm" if listed and not complete else "")
    return "+".join(filter(None, used)) or "none"
