"""How an answer is cut changes nothing: random policies of real pattern rails, beside rails that see sentences or all.

`EXAMPLES` in the environment asks for more than the usual number of them.
"""

from __future__ import annotations

import asyncio
import base64
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import Any

import orjson
import pytest
import re2
from hypothesis import given, settings
from hypothesis import strategies as st
from support.answers import DONE, delta, event
from support.paths import ASK, Canned, Heard, walked
from support.rails import Words

from gateway.config.policy import PatternSpec, PolicySpec
from gateway.policy.policy import Bound, Policy
from gateway.policy.rail import Subject, Tools, Unit
from gateway.policy.rails import pattern
from gateway.policy.vault import Vault
from gateway.policy.verdict import Action, Edit, Verdict

EXAMPLES = int(os.environ.get("EXAMPLES", "2000"))
JSON = ("content-type", "application/json")

# Of a fixed and an open length, at the edges of words, lines and texts, one within another, beyond ASCII.
RULES = (
    "secret",
    "sec",
    "[0-9]{3}",
    "[0-9]+x",
    r"\bkey [a-z]+\b",
    "a+b",
    "(?i)tide",
    "[a-z]+@[a-z]+",
    "(?s)begin.{0,9}end",
    r"(?m)^no\b",
    "é+",
    "пароль",
)
SETS = [
    *((rule,) for rule in RULES),
    *((a, b, c) for a, b, c in zip(RULES, RULES[1:], RULES[5:] + RULES[:4], strict=False)),
]
WORDS = ("secret", "sec", "123", "12x", "key is", "aab", "Tide", "me@sea", "begin", "end", "no", "é", "пароль", "Ann")
SCRAPS = (" ", ". ", "\n", "! ", "word", "a", "1", "<", ">", "<NAME_1>", "<NAME_", "%", "\\u00", "c2", "\U0001f30a")
PLACES = ("content", "reasoning_content", "arguments")

Texts = dict[tuple[int, str], str]


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    """One for all examples: to make one takes as long as an exchange."""
    with asyncio.Runner() as runner:
        yield runner


def _disguised(word: str, way: int) -> str:
    ways = (
        word,
        word,
        word,
        "\u200b".join(word),
        base64.b64encode(word.encode() * 2).decode(),
        "".join(f"%{byte:02x}" for byte in word.encode()),
        "".join(f"&#{ord(char)};" for char in word),
        word.encode().hex(),
        "".join(chr(0xE0000 + ord(char)) if char.isascii() else char for char in word),
    )
    return ways[way % len(ways)]


texts = st.lists(
    st.one_of(st.builds(_disguised, st.sampled_from(WORDS), st.integers(0, 8)), st.sampled_from(SCRAPS)),
    min_size=1,
    max_size=10,
).map("".join)


@cache
def _pattern(deny: tuple[str, ...], action: str) -> pattern.PatternRail:
    return pattern.build(PatternSpec(kind="pattern", deny=deny, action=action), Tools({}))  # type: ignore[arg-type]  # one of the three words


@dataclass(slots=True)
class Names:
    """Takes a name out of what the model sees, to be given back."""

    name: str = "names"
    unit: Unit = Unit.SENTENCE

    async def inspect(self, subject: Subject) -> Sequence[Verdict]:
        return [self._verdict(passage.text, subject.vault) for passage in subject.passages]

    def _verdict(self, text: str, vault: Vault) -> Verdict:
        at = text.find("Ann")
        edits = {Edit(at, at + 3, vault.placeholder("NAME", "Ann"))} if at >= 0 else set()
        return Verdict(Action.REDACT, frozenset(), frozenset(edits))


@st.composite
def patterns(draw: st.DrawFn, name: str, actions: Sequence[str]) -> Bound:
    action = draw(st.sampled_from(actions))
    rail = replace(_pattern(draw(st.sampled_from(SETS)), action), name=name)
    return Bound(rail, 30.0, "closed", enforced=True, flags=action == "flag")


@st.composite
def policies(draw: st.DrawFn, actions: Sequence[str] = ("flag", "redact", "redact", "block")) -> Policy:
    """One to three pattern rails, perhaps a wider one, perhaps in shadow, perhaps with names to give back."""
    bounds = [draw(patterns(name, actions)) for name in "pqr"[: draw(st.integers(1, 3))]]
    wide = draw(st.sampled_from((None, None, Unit.SENTENCE, Unit.ANSWER)))
    if wide:
        action = Action[draw(st.sampled_from(actions)).upper()]
        rail = Words("w", ("word", ". a"), action, wide, draw(st.sampled_from(("[gone]", "", "secret"))))
        bounds.append(Bound(rail, 30.0, "closed", enforced=True, flags=action is Action.FLAG))
    if draw(st.integers(0, 5)) == 0:
        bounds[0] = replace(bounds[0], enforced=False)
    inward = (Bound(Names(), 30.0, "closed", enforced=True),) if draw(st.booleans()) else ()
    return Policy("default", "digest", PolicySpec(name="default"), inward, tuple(bounds))


@dataclass(frozen=True)
class Cut:
    """An answer's texts, the pieces they come in (choice, place, piece), and where the bytes are cut."""

    texts: Texts
    pieces: tuple[tuple[int, str, str], ...]
    bytewise: tuple[float, ...]


seeds = st.integers(0, 2**32)


@st.composite
def answers(draw: st.DrawFn) -> Cut:
    keys = draw(st.lists(st.tuples(st.integers(0, 1), st.sampled_from(PLACES)), min_size=1, max_size=2, unique=True))
    return _cut({key: draw(texts) for key in keys}, draw(seeds))


def _cut(whole: Texts, seed: int) -> Cut:
    """`seed` says how; drawn one by one, cuts would take longer than all the rest. 0: not at all, 1: everywhere."""
    rng = random.Random(seed)
    queues = {key: _split(text, seed, rng) for key, text in whole.items()}
    order = [key for key, parts in queues.items() for _ in parts]
    rng.shuffle(order)
    pieces = tuple((*key, queues[key].pop(0)) for key in order)
    return Cut(whole, pieces, tuple(rng.random() for _ in range(rng.choice((0, 3, 20)) if seed else 0)))


def _split(text: str, seed: int, rng: random.Random) -> list[str]:
    some = rng.choices(range(len(text)), k=min(seed, rng.randint(0, 8)))
    marks = sorted({0, len(text), *(range(len(text)) if seed == 1 else some)})
    return [text[a:b] for a, b in pairwise(marks)]


def _part(place: str, text: str) -> dict[str, Any]:
    return {"tool_calls": [{"index": 0, "function": {"arguments": text}}]} if place == "arguments" else {place: text}


def _stream(cut: Cut) -> list[bytes]:
    chunks = [delta(**_part(place, text)) for _, place, text in cut.pieces]
    indices = [index for index, _, _ in cut.pieces]
    for index in sorted(set(indices)):
        chunks.append(delta(finish="stop"))
        indices.append(index)
    for index, chunk in zip(indices, chunks, strict=True):
        chunk["choices"][0]["index"] = index
    raw = b"".join([*map(event, chunks), DONE])
    marks = sorted({0, len(raw), *(int(at * len(raw)) for at in cut.bytewise)})
    return [raw[a:b] for a, b in pairwise(marks)]


def _message(said: dict[str, str]) -> dict[str, Any]:
    return {key: value for place, text in said.items() for key, value in _part(place, text).items()}


def _answer(cut: Cut) -> bytes:
    choices = [
        {
            "index": index,
            "message": {
                k: v for (n, place), text in cut.texts.items() if n == index for k, v in _part(place, text).items()
            },
            "finish_reason": "stop",
        }
        for index in sorted({index for index, _ in cut.texts})
    ]
    return orjson.dumps({"object": "chat.completion", "choices": choices})


ASKED = {**ASK, "messages": [{"role": "user", "content": "Ann asks, not <NAME_2>"}]}


def _streamed(loop: asyncio.Runner, rules: Policy, cut: Cut) -> Heard:
    return loop.run(walked(rules, Canned(_stream(cut)), body={**ASKED, "stream": True}))


def _told(heard: Heard, cut: Cut) -> Texts:
    """What a client of the stream put together; a text of which nothing was left may not have come at all."""
    got = {(key[0], "arguments" if len(key) > 2 else key[1]): text for key, text in heard.texts().items()}
    return {key: got.get(key, "") for key in cut.texts}


def _read(heard: Heard, cut: Cut) -> Texts:
    messages = {choice["index"]: choice["message"] for choice in heard.json()["choices"]}
    return {
        (n, place): messages[n]["tool_calls"][0]["function"]["arguments"]
        if place == "arguments"
        else messages[n][place]
        for n, place in cut.texts
    }


def _said(heard: Heard) -> list[tuple[Any, ...]]:
    return sorted((j.rail, j.stage, j.action, j.rules, j.count, j.fault) for j in heard.record.judgements)


@settings(max_examples=EXAMPLES, deadline=None)
@given(policies(), answers())
def test_verdict_text_and_findings_are_those_of_the_whole_answer(loop: asyncio.Runner, rules: Policy, cut: Cut) -> None:
    one = loop.run(walked(rules, Canned([_answer(cut)], (JSON,)), body=ASKED))
    many = _streamed(loop, rules, cut)
    assert (many.record.outcome, many.record.verdict) == (one.record.outcome, one.record.verdict)
    if one.record.outcome == "completed":
        assert _told(many, cut) == _read(one, cut)
        assert _said(many) == _said(one)


@settings(max_examples=EXAMPLES, deadline=None)
@given(policies(actions=("block",)), answers())
def test_nothing_that_a_rule_blocks_is_ever_delivered(loop: asyncio.Runner, rules: Policy, cut: Cut) -> None:
    rules = replace(rules, input=())
    many = _streamed(loop, rules, cut)
    if many.status != 200:
        return
    enforced = [b.rail for b in rules.output if b.enforced and isinstance(b.rail, pattern.PatternRail)]
    for key, text in _told(many, cut).items():
        assert cut.texts[key].startswith(text)
        for rail in enforced:
            # No rule, read plainly, finds anything in what came; but for those that ask for an edge a cut could make.
            assert not any(re2.search(r.source, text) for r in rail.rules if "\\b" not in r.source)
            if many.record.outcome == "completed":
                assert rail.judged(text).action is Action.ALLOW


@settings(max_examples=EXAMPLES // 4, deadline=None)
@given(policies(), answers(), seeds)
def test_what_was_delivered_before_a_block_is_part_of_the_same(
    loop: asyncio.Runner, rules: Policy, cut: Cut, seed: int
) -> None:
    key, text = next(iter(cut.texts.items()))
    ways = [_cut({key: text}, how) for how in (0, 1, seed)]
    heard = [_streamed(loop, rules, way) for way in ways]
    assert len({(h.record.outcome, h.record.verdict) for h in heard}) == 1
    told = sorted((_told(h, way)[key] for h, way in zip(heard, ways, strict=True) if h.status == 200), key=len)
    assert all(told[-1].startswith(short) for short in told)
    assert len(set(told)) == 1 or heard[0].record.outcome != "completed"
