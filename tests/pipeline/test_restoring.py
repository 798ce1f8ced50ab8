"""What was taken out of a request and is given back in the answer: each is the exact inverse of the other.

The model says back what it was told, and the client reads what it said, in any pieces. `EXAMPLES` in the environment
asks for more of them.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.answers import DONE, delta, event
from support.paths import JSON, SSE, Canned, Heard, walked
from support.rails import Words, bound, policy

from gateway.policy.policy import Policy
from gateway.policy.rail import Subject, Unit
from gateway.policy.vault import Vault
from gateway.policy.verdict import ALLOW, Action, Edit, Verdict
from gateway.upstream import Ask, Reply
from gateway.wire import sse
from gateway.wire.codec import CHAT, COMPLETIONS

EXAMPLES = int(os.environ.get("EXAMPLES", "2000")) // 2

VALUES = ("ann@sea.org", "bo@x.io", "4111-1111", '"q"@x.io', "\\n@x.io", "é@x.io", "\U0001f30a@x.io")
FOUND = re.compile(r'(?P<EMAIL_ADDRESS>["\w\\\U0001f30a]+@[a-z.]+)|(?P<CARD>[0-9]{4}-[0-9]{4})')
SCRAPS = (
    "<",
    ">",
    "<EMAIL_ADDRESS_1>",
    "<CARD_",
    "1>",
    " ",
    ". ",
    "\n",
    '"',
    "\\",
    "é",
    "\U0001f30a ",
    "word ",
    "@",
    "{}",
)
texts = st.lists(st.one_of(st.sampled_from(VALUES), st.sampled_from(SCRAPS)), min_size=1, max_size=12).map("".join)
PLACES = ("content", "arguments", "text")


@dataclass(slots=True)
class Personal:
    """Takes out what `FOUND` finds, to be given back."""

    name: str = "personal"
    unit: Unit = Unit.SENTENCE

    async def inspect(self, subject: Subject) -> Sequence[Verdict]:
        return [self._verdict(passage.text, subject.vault) for passage in subject.passages]

    def _verdict(self, text: str, vault: Vault) -> Verdict:
        found = [(m, m.lastgroup or "") for m in FOUND.finditer(text)]
        edits = frozenset(Edit(m.start(), m.end(), vault.placeholder(entity, m[0])) for m, entity in found)
        return Verdict(Action.REDACT, frozenset(), edits) if edits else ALLOW


@dataclass(slots=True)
class Echo(Canned):
    """Says back what it was told, at `place`, in pieces that `seed` decides: 0 is one, 1 is as many as there can be."""

    place: str = "content"
    seed: int = 0

    @asynccontextmanager
    async def send(self, ask: Ask) -> AsyncIterator[Reply]:
        body = orjson.loads(ask.body)
        told = body["prompt"] if self.place == "text" else body["messages"][0]["content"]
        if self.place == "arguments":
            told = json.dumps({"q": told}, ensure_ascii=self.seed % 2 == 0)
        self.chunks = self._stream(told) if ask.stream else [orjson.dumps(self._whole(told))]
        self.headers = (SSE if ask.stream else JSON,)
        async with Canned.send(self, ask) as reply:
            yield reply

    def _whole(self, told: str) -> Any:
        return {"choices": [{"index": 0, "finish_reason": "stop", **self._part("message", told)}]}

    def _part(self, name: str, text: str) -> dict[str, Any]:
        match self.place:
            case "text":
                return {"text": text}
            case "arguments":
                return {name: {"tool_calls": [{"index": 0, "function": {"arguments": text}}]}}
            case _:
                return {name: {"content": text}}

    def _stream(self, told: str) -> list[bytes]:
        rng = random.Random(self.seed)
        chunks = [
            {"choices": [{"index": 0, "finish_reason": None, **self._part("delta", piece)}]}
            for piece in _cut(told, self.seed, rng)
        ]
        last = {"choices": [{"index": 0, "text": "", "finish_reason": "stop"}]} if self.place == "text" else None
        raw = b"".join([*map(event, chunks), event(last or delta(finish="stop")), DONE])
        return _cut(raw, rng.choice((0, self.seed)), rng)


def _cut(whole: Any, seed: int, rng: random.Random) -> list[Any]:
    if not seed:
        return [whole]
    marks = range(len(whole)) if seed == 1 else rng.sample(range(len(whole)), min(len(whole), rng.randint(0, 9)))
    return [whole[a:b] for a, b in pairwise(sorted({0, len(whole), *marks}))]


def read(heard: Heard, place: str, *, stream: bool) -> str:
    """What a client puts together."""
    said = ""
    for body in _bodies(heard) if stream else [heard.json()]:
        for choice in body["choices"]:
            part = choice.get("delta" if stream else "message") or {}
            if place == "arguments":
                said += "".join(call["function"]["arguments"] for call in part.get("tool_calls", ()))
            else:
                said += (choice if place == "text" else part).get(place, "")
    text: str = json.loads(said)["q"] if place == "arguments" else said
    return text


def _bodies(heard: Heard) -> Iterator[Any]:
    yield from (orjson.loads(e.data) for e in sse.Decoder().feed(heard.raw) if e.data not in {b"", sse.DONE})


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


def rules(wide: Unit | None) -> Policy:
    """With or without a rail that sees answers in another unit and finds nothing."""
    outward = [bound(Words("out", ("never there",), unit=wide))] if wide else []
    return policy(inward=[bound(Personal())], outward=outward)


RULES = [rules(wide) for wide in (None, *Unit)]


@settings(max_examples=EXAMPLES, deadline=None)
@given(texts, st.sampled_from(PLACES), st.booleans(), st.integers(0, 40), st.sampled_from(RULES))
def test_the_client_reads_what_it_wrote_and_the_model_never_saw_it(
    loop: asyncio.Runner, text: str, place: str, stream: bool, seed: int, rules: Policy
) -> None:
    up = Echo([], place=place, seed=seed)
    body = {"model": "m", "stream": stream}
    body |= {"prompt": text} if place == "text" else {"messages": [{"role": "user", "content": text}]}
    heard = loop.run(walked(rules, up, body=body, codec=COMPLETIONS if place == "text" else CHAT))
    assert heard.record.outcome == "completed"
    seen = orjson.loads(up.asks[0].body)
    asked = seen["prompt"] if place == "text" else seen["messages"][0]["content"]
    parts = re.sub(FOUND, "\0", text).split("\0")
    assert len(parts) - 1 == len(re.findall(FOUND, text))
    assert re.fullmatch(r"<[A-Z_]+_[0-9]+>".join(map(re.escape, parts)), asked)
    assert read(heard, place, stream=stream) == text
