"""One cell of the matrix: what is said where, in which disguise and in which pieces; and which cells there are.

A cell's `ident` names it: `python -m matrix IDENT` runs that one alone.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import islice

from matrix.adapter import NO_ROLE, Adapter, Channel, Line, Shape
from matrix.adapters import ADAPTERS
from matrix.disguise import DISGUISES, Disguise
from matrix.pairs import Fits, Row, drawn, pairwise

CANARY = "CANARY-DENY-7f3a91c4e2b6"
RULE = "CANARY-DENY-7f3a[0-9a-f]{8}"
POLICIES = ("block", "redact")
# Neither has a letter that the canary begins with.
AROUND: Mapping[str, tuple[str, str]] = {
    "alone": ("", ""),
    "start": ("", " so they say."),
    "middle": ("The tide is high, ", " so they say."),
    "end": ("The tide is high: ", ""),
    "glued": ("tide", "tide"),
}
PIECES = ("whole", "chars", "first", "half", "last", "thirds", "random", "surrogates")
SENDING = ("bytes", "segments", "coalesced", "escaped")
STREAM = {"stream": True, "whole": False}


@dataclass(frozen=True)
class Cell:
    """`place` is a shape or a channel, `where` the turn or the choice; `split` is how an answer comes."""

    side: str
    endpoint: str
    mode: str
    role: str
    place: str
    disguise: str
    where: str
    split: str
    at: str
    policy: str

    @property
    def ident(self) -> str:
        parts = (
            self.side,
            self.endpoint,
            self.mode,
            self.role,
            self.place,
            self.disguise,
            self.where,
            self.split,
            self.at,
        )
        return ".".join((*parts, self.policy))

    @property
    def adapter(self) -> Adapter:
        return ADAPTERS[self.endpoint]

    @property
    def shape(self) -> Shape:
        return self.adapter.shapes[self.place]

    @property
    def channel(self) -> Channel | Line:
        return self.adapter.channels[self.place]

    @property
    def kind(self) -> Disguise:
        return DISGUISES[self.disguise]

    @property
    def stream(self) -> bool:
        return STREAM[self.mode]

    @property
    def covered(self) -> bool:
        return self.kind.covered and self.place_covered and not self.exception

    @property
    def place_covered(self) -> bool:
        return (self.shape if self.side == "in" else self.channel).covered

    @property
    def exception(self) -> str:
        """Why this very combination is not covered."""
        return next((why for why, marks in EXCEPT.items() if self._is(marks)), "")

    def _is(self, marks: Mapping[str, Sequence[str]]) -> bool:
        return all(getattr(self, axis) in values for axis, values in marks.items())

    @cached_property
    def text(self) -> str:
        """The whole text, canary and all."""
        lead, tail = AROUND[self.at]
        if self.kind.whole:
            return _put(self.disguise, lead + CANARY + tail)
        return lead + _put(self.disguise, CANARY) + tail

    @property
    def free(self) -> int:
        """How much of `text` may be delivered before the canary begins."""
        lead, _ = AROUND[self.at]
        if not self.kind.whole:
            return len(lead) + (2 if self.disguise == "hex-0x" else 0)
        return shared(self.text, _put(self.disguise, lead + "~" * len(CANARY)))

    @property
    def pieces(self) -> list[str]:
        return _cut(self.text, self.split, self.ident)


def shared(one: str, other: str) -> int:
    """How many characters two texts begin alike."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def parsed(ident: str) -> Cell:
    """The cell of that name. Raises `TypeError` where it has other than ten parts."""
    return Cell(*ident.split("."))


@lru_cache(maxsize=4096)
def _put(disguise: str, text: str) -> str:
    return DISGUISES[disguise].put(text)


def _cut(text: str, split: str, seed: str) -> list[str]:
    match split:
        case "whole" | "segments" | "coalesced":
            marks = []
        case "chars" | "bytes":
            return list(text)
        case "surrogates":
            units = text.encode("utf-16-le", "surrogatepass")
            return [units[at : at + 2].decode("utf-16-le", "surrogatepass") for at in range(0, len(units), 2)]
        case "first":
            marks = [1]
        case "last":
            marks = [len(text) - 1]
        case "half" | "escaped":
            marks = [len(text) // 2]
        case "thirds":
            marks = [len(text) // 3, 2 * len(text) // 3]
        case "random":
            rng = random.Random(seed)
            marks = sorted(rng.sample(range(1, len(text)), min(9, len(text) - 1)))
        case _:
            marks = [int(split)]
    return [text[a:b] for a, b in zip([0, *marks], [*marks, len(text)], strict=True) if a < b]


# What is told in docs/bypass.md as not covered, beside disguises and places that say so themselves.
_CODES = ("base64", "base64-bare", "base64url", "hex", "hex-upper", "hex-0x")
_ESCAPES = ("unicode-escapes", "hex-escapes", "brace-escapes")
_LAYERS = (
    *_CODES,
    "base64-all",
    "base64-wrapped",
    "hex-all",
    *_ESCAPES,
    "percent",
    "percent-some",
    "html-decimal",
    "html-hex",
)
_ASTRAL = ("math-bold", "math-mono", "squared", "regional", "tags", "variation-selectors")
EXCEPT: Mapping[str, Mapping[str, Sequence[str]]] = {
    "a code glued to a word": {"at": ("glued",), "disguise": _CODES},
    "a disguise within JSON's escapes": {"place": ("arguments-escaped",), "disguise": _LAYERS},
    "escapes within JSON's escapes": {
        "place": ("arguments", "arguments-twice", "function-call", "tool-result"),
        "disguise": _ESCAPES,
    },
    "escapes within JSON within JSON": {"place": ("arguments-twice",), "disguise": ("control",)},
    "a surrogate pair cut in two": {"split": ("surrogates",), "disguise": _ASTRAL},
}


# Which cells there are


def _axes(side: str, adapter: Adapter, *, covered: bool = False) -> dict[str, Sequence[str]]:
    roles = dict.fromkeys(role for shape in adapter.shapes.values() for role in shape.roles)
    modes = tuple(STREAM) if adapter.streams else ("whole",)
    inward = side == "in"
    places: Mapping[str, Shape | Channel | Line] = adapter.shapes if inward else adapter.channels
    return {
        "mode": modes,
        "role": (*roles, NO_ROLE) if inward else (NO_ROLE,),
        "place": tuple(name for name, place in places.items() if place.covered or not covered),
        "disguise": tuple(name for name, kind in DISGUISES.items() if kind.covered or not covered),
        "where": tuple(adapter.turns if inward else adapter.choices),
        "split": ("whole",) if inward else (*PIECES, *SENDING),
        "at": tuple(AROUND),
        "policy": POLICIES,
    }


@dataclass(frozen=True, slots=True)
class _Asking:
    """What can stand together in a request. `pairs.Fits`, asked both ways round."""

    adapter: Adapter

    def __call__(self, a: str, x: str, b: str, y: str) -> bool:
        if (a, b) == ("place", "role"):
            roles = self.adapter.shapes[x].roles
            return y in roles if roles else y == NO_ROLE
        return (a, b) != ("role", "where") or x != NO_ROLE or y == "only"


@dataclass(frozen=True, slots=True)
class _Answering:
    """What can stand together in an answer."""

    adapter: Adapter

    def __call__(self, a: str, x: str, b: str, y: str) -> bool:
        if a == "place":
            return self._fits(x, b, y)
        return (a, b) != ("mode", "split") or x == "stream" or y in {"whole", "bytes", "segments", "escaped"}

    def _fits(self, place: str, axis: str, value: str) -> bool:
        channel = self.adapter.channels[place]
        line = isinstance(channel, Line)
        match axis:
            case "mode":
                return channel.only in {"", value}
            case "split":
                return (channel.grows or value in {"whole", "segments", "coalesced"}) and not (
                    line and value == "escaped"
                )
            case "where":
                return value == "0" or (isinstance(channel, Channel) and channel.of != "answer")
            case "disguise":  # a line holds no line end
                return not (line and value in {"base64-wrapped", "lines", "control"})
            case _:  # an identifier is one word
                return axis != "at" or place != "identifier" or value in {"alone", "glued"}


def _fits(side: str, adapter: Adapter) -> Fits:
    return _Asking(adapter) if side == "in" else _Answering(adapter)


def _cell(side: str, endpoint: str, row: Row) -> Cell:
    return Cell(side=side, endpoint=endpoint, **row)


def cells(total: int = 0, seed: int = 7) -> list[Cell]:
    """Every pair of values that should hold, of every endpoint, both ways; drawn ones of all up to `total`.

    The same each time.
    """
    found: dict[str, Cell] = {}
    for side, name in _sides():
        fits = _fits(side, ADAPTERS[name])
        for row in pairwise(_axes(side, ADAPTERS[name], covered=True), fits, seed):
            cell = _cell(side, name, row)
            found[cell.ident] = cell
    more = _drawn(seed)
    while len(found) < total:
        cell = next(more)
        found[cell.ident] = cell
    return list(found.values())


def any_cells(total: int, seed: float) -> list[Cell]:
    """Drawn ones, covered or not."""
    return list(islice(_drawn(seed), total))


def _sides() -> list[tuple[str, str]]:
    return [(side, name) for name, a in ADAPTERS.items() for side in ("in", "out") if side == "in" or a.channels]


def _drawn(seed: float) -> Iterator[Cell]:
    rng = random.Random(seed)
    while True:
        for side, name in _sides():
            adapter = ADAPTERS[name]
            yield _cell(side, name, drawn(_axes(side, adapter), _fits(side, adapter), rng))
