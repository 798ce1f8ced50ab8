"""Nothing forbidden passes: not in any place, shape, disguise, order or pieces that the policy claims to cover.

A failing cell prints the command that runs it alone. `make matrix` runs many more.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from matrix.adapter import NO_ROLE, Channel, Line, Said
from matrix.adapters import ADAPTERS
from matrix.cell import CANARY, Cell, cells
from matrix.house import House, opened
from matrix.oracle import Finding, asked, encoded, flagged, policies, run, sent

INNOCENT = "what the tide brings in"
PLAIN = Cell("in", "chat", "whole", "user", "string", "none", "only", "whole", "alone", "block")


def told(chosen: Iterable[Cell], rules: Mapping[str, Any] | None = None) -> tuple[list[Finding | None], bytes]:
    """What went wrong with each cell, and the gateway's events."""

    async def all_of(folder: Path) -> tuple[list[Finding | None], bytes]:
        async with opened(folder, rules or policies()) as house:
            return [await run(house, cell) for cell in chosen], house.written()

    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(all_of(Path(folder)))


def bad(found: Iterable[Finding | None]) -> list[str]:
    return [str(finding) for finding in found if finding]


def test_no_pair_of_ways_lets_it_pass_and_the_log_has_none_of_it() -> None:
    chosen = [cell for cell in cells() if cell.covered]
    assert len(chosen) > 3000
    found, events = told(chosen)
    assert not bad(found)
    written = [orjson.loads(line) for line in events.splitlines()]
    assert sum(event["event"] == "exchange.completed" for event in written) == len(chosen)
    assert b"CANARY" not in events


def test_the_oracle_sees_every_way_of_passing() -> None:
    """With no rail at all every one of these cells leaks, and is said to."""
    rules: dict[str, Any] = {name: {} for name in policies()}
    chosen = [cell for cell in cells()[::7] if cell.covered and cell.place != "no-json"]
    found, _ = told(chosen, rules)
    assert [cell.ident for cell, finding in zip(chosen, found, strict=True) if not finding] == []
    seen = [finding for finding in found if finding]
    assert sum(finding.kind == "leak" for finding in seen) / len(seen) > 0.99


@pytest.mark.parametrize("place", ["content", "arguments-third", "reasoning-content", "logprobs-tokens"])
@pytest.mark.parametrize(
    "disguise", ["none", "zero-width", "cyrillic", "tags", "percent", "base64", "base64-all", "hex"]
)
def test_no_cut_lets_it_pass(place: str, disguise: str) -> None:
    one = Cell("out", "chat", "stream", NO_ROLE, place, disguise, "0", "1", "middle", "block")
    cuts = [replace(one, split=str(at), policy=p) for at in range(1, len(one.text)) for p in ("block", "redact")]
    found, _ = told(cuts)
    assert not bad(found)


async def test_what_is_innocent_passes_in_every_place(tmp_path: Path) -> None:
    """Byte for byte; so no cell holds because its shape is refused."""
    async with opened(tmp_path, policies()) as house:
        for endpoint, adapter in ADAPTERS.items():
            for place, shape in adapter.shapes.items():
                for role in shape.roles or (NO_ROLE,):
                    cell = replace(PLAIN, endpoint=endpoint, role=role, place=place)
                    await _asks_innocently(house, cell)
            for place, channel in adapter.channels.items():
                for choice in adapter.choices if isinstance(channel, Channel) and channel.of != "answer" else ("0",):
                    for mode in ("whole", "stream"):
                        cell = replace(PLAIN, side="out", endpoint=endpoint, place=place, where=choice, mode=mode)
                        if channel.only in {"", mode}:
                            await _is_answered_innocently(house, cell)


async def _asks_innocently(house: House, cell: Cell) -> None:
    body = {**cell.adapter.body(cell.shape, cell.role, INNOCENT, "only", stream=False), "model": "block"}
    heard = await asked(house, cell, body)
    assert heard.status == 200, (cell.ident, heard.raw)
    if cell.adapter.whole is None:
        assert not flagged(heard), cell.ident
        assert house.upstream.asks == []
    else:
        assert orjson.loads(house.upstream.asks[0].body) == body, cell.ident


async def _is_answered_innocently(house: House, cell: Cell) -> None:
    said = Said(cell.channel, [INNOCENT[:9], INNOCENT[9:]] if cell.channel.grows else [INNOCENT], cell.where)
    house.upstream.chunks = sent(cell, said)
    body = cell.adapter.body(cell.adapter.shapes["string"], "user", "How high?", "only", stream=cell.stream)
    heard = await house.ask(cell.adapter.path, {**body, "model": "block"})
    if cell.place != "no-json":
        assert heard.raw == b"".join(house.upstream.chunks), cell.ident


AS_WRITTEN = pytest.mark.xfail(reason="arguments are judged as JSON is written: the `n` of `\\n` is a letter")
PAIR = "\\bkey [0-9]{4}\\b"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "place",
    [
        "content",
        "reasoning-content",
        *(pytest.param(place, marks=AS_WRITTEN) for place in ("arguments", "function-call")),
    ],
)
async def test_a_word_is_a_word_behind_a_line_end_in_json_too(tmp_path: Path, place: str, stream: bool) -> None:
    """What a tool is called with is JSON: a line end is `\\n` there, and no letter."""
    rules = {"block": {"output": [{"pattern": {"deny": [PAIR]}}]}}
    cell = replace(PLAIN, side="out", place=place, where="0", mode="stream" if stream else "whole")
    text = "see\nkey 1234\n"
    channel = cell.channel
    assert not isinstance(channel, Line)
    piece = encoded({"q": text}).decode() if place in {"arguments", "function-call"} else text
    async with opened(tmp_path, rules) as house:
        house.upstream.chunks = sent(cell, Said(channel, [piece], "0"))
        body = cell.adapter.body(cell.adapter.shapes["string"], "user", "?", "only", stream=stream)
        heard = await house.ask(cell.adapter.path, {**body, "model": "block"})
        assert b"content_filter" in heard.raw


def test_a_cell_is_known_by_its_name() -> None:
    assert CANARY in PLAIN.text
    assert PLAIN.ident == "in.chat.whole.user.string.none.only.whole.alone.block"
