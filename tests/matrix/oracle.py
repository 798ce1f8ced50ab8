"""Runs a cell and says what went wrong, if anything did. Knows nothing of how the gateway judges."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from matrix.adapter import Channel, Line, Said
from matrix.cell import AROUND, CANARY, RULE, Cell, shared
from matrix.house import Heard, House

from gateway.upstream import Ask

TELLING = 6
"""Characters of the canary that are no coincidence."""
MARK = "[REDACTED]"


def policies() -> dict[str, Any]:
    """`block` and `redact`, and their twins that ignore case."""
    return {
        action + suffix: {"input": [rail], "output": [rail]}
        for action in ("block", "redact")
        for suffix, more in (("", {}), ("-any-case", {"ignore_case": True}))
        for rail in [{"pattern": {"deny": [RULE], "action": action, **more}}]
    }


def policy(cell: Cell) -> str:
    return cell.policy + ("-any-case" if cell.kind.folds_case else "")


@dataclass(frozen=True, slots=True)
class Finding:
    """`leak`, or an `outcome` that is not what the policy says."""

    cell: Cell
    kind: str
    why: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.why}: python -m matrix {self.cell.ident}"


async def run(house: House, cell: Cell) -> Finding | None:
    return await (_asked if cell.side == "in" else _answered)(house, cell)


# Requests


async def _asked(house: House, cell: Cell) -> Finding | None:
    body = cell.adapter.body(cell.shape, cell.role, cell.text, cell.where, stream=cell.stream)
    heard = await asked(house, cell, body)
    asks = house.upstream.asks
    if cell.adapter.whole is None:
        return None if flagged(heard) else Finding(cell, "leak", "nobody flagged it")
    return _sent(cell, heard, asks)


def _sent(cell: Cell, heard: Heard, asks: Sequence[Ask]) -> Finding | None:
    if cell.policy == "block":
        if asks:
            return Finding(cell, "leak", "the upstream was asked")
        return None if _blocked(heard) else Finding(cell, "outcome", f"{heard.status} instead of a block")
    for ask in asks:
        if found := telling(cell, texts(orjson.loads(ask.body))):
            return Finding(cell, "leak", f"the upstream was sent {found!r}")
    if not asks and not _blocked(heard):
        return Finding(cell, "outcome", f"{heard.status} instead of a redaction")
    if asks and MARK.encode() not in asks[0].body:
        return Finding(cell, "outcome", "nothing stands for what was taken out")
    return None


async def asked(house: House, cell: Cell, body: dict[str, Any]) -> Heard:
    """What a client hears who sends `body` and is answered that all is well."""
    house.upstream.asks.clear()
    channel = cell.adapter.channels.get("content", Channel(lambda _: {}))
    house.upstream.chunks = sent(cell, Said(channel, ["Fine."], "0")) if cell.adapter.whole else []
    return await house.ask(cell.adapter.path, {**body, "model": policy(cell)})


# Answers


async def _answered(house: House, cell: Cell) -> Finding | None:
    house.upstream.asks.clear()
    house.upstream.chunks = sent(cell, Said(cell.channel, cell.pieces, cell.where))
    shape = cell.adapter.shapes["string"]
    body = cell.adapter.body(shape, "user", "How high?", "only", stream=cell.stream)
    heard = await house.ask(cell.adapter.path, {**body, "model": policy(cell)})
    if not house.upstream.asks:
        return Finding(cell, "outcome", "the upstream was not asked")
    said = list(assembled(heard.raw, stream=cell.stream))
    if found := telling(cell, [*said, *lines(heard), *(f"{k!r} {v!r}" for k, v in heard.headers)]):
        return Finding(cell, "leak", f"the client got {found!r}")
    if cell.policy == "block":
        early = max((shared(text, cell.text) for text in said), default=0)
        if early > max(cell.free, 1):
            return Finding(cell, "leak", f"the client got {early - cell.free} characters of it")
        return (
            None if _blocked(heard) or _broken(cell, heard) else Finding(cell, "outcome", f"{heard.status}, no block")
        )
    return _redacted(cell, heard, said)


def _redacted(cell: Cell, heard: Heard, said: list[str]) -> Finding | None:
    if _broken(cell, heard) or cell.place.startswith(("logprobs", "top-logprobs")):
        return None  # nothing is left of these
    if isinstance(cell.channel, Line):
        return None  # the line may be dropped
    if MARK.encode() not in heard.raw:
        return Finding(cell, "outcome", "nothing stands for what was taken out")
    lead, tail = AROUND[cell.at]
    whole = any(text.startswith(lead) and text.endswith(tail) and MARK in text for text in said)
    if whole or cell.kind.whole or not cell.channel.grows:
        return None
    return Finding(cell, "outcome", "what stands around it was changed")


def _broken(cell: Cell, heard: Heard) -> bool:
    """What is no answer at all is refused for that."""
    return cell.place == "no-json" and b'"upstream_' in heard.raw


def sent(cell: Cell, said: Said) -> list[bytes]:
    """An answer's bytes as they come, one element a segment."""
    split = cell.split if cell.side == "out" else "whole"
    ascii_only = split in {"escaped", "surrogates"}
    adapter = cell.adapter
    assert adapter.whole is not None
    if not cell.stream:
        return _segments(encoded(adapter.whole(said), ascii_only=ascii_only), split)
    assert adapter.chunks is not None
    events = [
        c if isinstance(c, bytes) else b"data: " + encoded(c, ascii_only=ascii_only) + b"\n\n"
        for c in adapter.chunks(said)
    ]
    events.append(b"data: [DONE]\n\n")
    return events if split not in {"bytes", "segments", "coalesced", "escaped"} else _segments(b"".join(events), split)


def encoded(value: Any, *, ascii_only: bool = False) -> bytes:
    return json.dumps(value, ensure_ascii=ascii_only, separators=(",", ":")).encode("utf-8")


def _segments(raw: bytes, split: str) -> list[bytes]:
    """Three bytes cut every character of four in two; five cut escapes."""
    size = {"bytes": 1, "segments": 3, "escaped": 5}.get(split, len(raw))
    return [raw[at : at + size] for at in range(0, len(raw), size)]


# What was said


def texts(value: Any) -> Iterator[str]:
    """Every string in `value`, names of fields as well."""
    match value:
        case str():
            yield value
        case dict():
            for key, item in value.items():
                yield key
                yield from texts(item)
        case list():
            for item in value:
                yield from texts(item)


def assembled(raw: bytes, *, stream: bool) -> Iterator[str]:
    """The texts of an answer as a client puts them together, each by the place where it goes on."""
    if not stream or raw.startswith(b"{"):
        values = [orjson.loads(raw)] if raw else []
    else:
        data = re.findall(rb"^data: ?(.*)$", raw, re.MULTILINE)
        values = [json.loads(line) for line in data if line.startswith(b"{")]
    out: dict[tuple[Any, ...], list[str]] = {}
    for value in values:
        for place, text in _placed(value, (value.get("type") if isinstance(value.get("type"), str) else "",)):
            out.setdefault(place, []).append(text)
    for parts in out.values():
        joined = "".join(parts).encode("utf-16-le", "surrogatepass")
        yield joined.decode("utf-16-le", "replace")


def _placed(value: Any, place: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], str]]:
    """Strings by place. What is in a list and says its `index` is placed by it; tokens follow one another."""
    match value:
        case str():
            yield place, value
        case dict():
            numbers = tuple(v for k, v in value.items() if k.endswith("index") and isinstance(v, int))
            for key, item in value.items():
                yield ("name of", *place, *numbers, key), key
                yield from _placed(item, (*place, *numbers, key))
        case list():
            for item in value:
                yield from _placed(item, place)


def lines(heard: Heard) -> list[str]:
    """The lines of a stream that are no data, joined by field."""
    found: dict[bytes, bytes] = {}
    for line in heard.raw.splitlines():
        field, _, rest = line.partition(b":")
        if field != b"data":
            found[field] = found.get(field, b"") + rest.removeprefix(b" ")
    return [value.decode("utf-8", "replace") for value in found.values()]


def telling(cell: Cell, said: Iterable[str], secret: str = CANARY) -> str:
    """The first piece of `secret` that is in what was `said`, once the cell's disguise is taken off."""
    secret = secret.upper() if cell.kind.folds_case else secret
    wanted = [secret[at : at + TELLING] for at in range(len(secret) - TELLING + 1)]
    for text in said:
        read = text + "\n" + cell.kind.read(text)
        if "\\" in text:
            read += "\n" + cell.kind.read(_unescaped(text))
        found = next((piece for piece in wanted if piece in read), "")
        if found:
            return found
    return ""


def _unescaped(text: str) -> str:
    """What a JSON string in a string says."""
    return re.sub(r"\\u([0-9a-fA-F]{4})|\\(.)", lambda m: chr(int(m[1], 16)) if m[1] else m[2], text)


def flagged(heard: Heard) -> bool:
    """What `/v1/moderations` says of all that it was asked about."""
    return any(result["flagged"] for result in orjson.loads(heard.raw)["results"])


def _blocked(heard: Heard) -> bool:
    """Whether the client was told that a policy refused: as an error, or at the end of a stream."""
    return b'"code":"content_filter"' in heard.raw
