"""A stream that is poured out as it comes: nothing about it differs from one that is read piece by piece."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.answers import DONE, delta, event, usage
from support.paths import ASK, SSE, Canned, Heard, call, pipeline, run, streamed
from support.rails import Words, bound, policy

from gateway.errors import UpstreamBroken, UpstreamError
from gateway.exchange import Exchange
from gateway.policy.policy import Policy
from gateway.policy.rail import Unit
from gateway.policy.verdict import Action
from gateway.upstream import Ask, Reply


@dataclass(slots=True)
class Pouring:
    """`upstream.Flowing`: says `chunks` one after the other, each to who stands by, or to who asks next."""

    chunks: list[bytes | UpstreamError]
    poured: int = 0
    closed: bool = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self.chunks or self.closed:
            raise StopAsyncIteration
        return self._next()

    async def flow(self, sink: Callable[[bytes], bool]) -> bool:
        while self.chunks and not self.closed:
            await asyncio.sleep(0)
            self.poured += 1
            if not sink(self._next()):
                return True
        return False

    async def aclose(self) -> None:
        self.closed = True

    def _next(self) -> bytes:
        said = self.chunks.pop(0)
        if isinstance(said, UpstreamError):
            raise said
        return said


@dataclass(slots=True)
class Poured(Canned):
    """An upstream whose answer can be poured out."""

    said: Pouring = field(default_factory=lambda: Pouring([]))

    @asynccontextmanager
    async def send(self, ask: Ask) -> AsyncIterator[Reply]:
        self.asks.append(ask)
        self.said = Pouring(list(self.chunks))
        yield Reply(200, (SSE,), self.said)


@dataclass(slots=True)
class Told:
    """`stream.Outlet` to a client; `shut` says before which of its pieces it has to be waited for."""

    heard: Heard
    shut: Sequence[bool] = ()
    told: int = 0
    asked: int = 0

    @property
    def open(self) -> bool:
        self.asked += 1
        return not (self.shut and self.shut[self.asked % len(self.shut)])

    def write(self, piece: bytes) -> None:
        assert not self.heard.ended
        assert self.heard.pieces, "the head goes the usual way"
        self.told += 1
        self.heard._got(piece)


async def poured(
    policies: Policy, chunks: Sequence[bytes | UpstreamError], shut: Sequence[bool] = ()
) -> tuple[Heard, Told]:
    heard, up = Heard(), Poured(list(chunks))
    told = Told(heard, shut)
    asked = replace(call({**ASK, "stream": True}), outlet=told)
    await pipeline(policies, [up], heard).run(asked, heard)
    assert heard.ended
    assert up.said.closed
    return heard, told


def known(record: Exchange) -> dict[str, Any]:
    """A record without its times."""
    left = {"timing", "id", "judgements"}
    told = {name: getattr(record, name) for name in record.__dataclass_fields__ if name not in left}
    judged = [replace(one, seconds=0.0) for one in record.judgements]
    return {**told, "judgements": judged, "gaps": len(record.timing.gaps), "first": record.timing.first_token is None}


POLICIES: dict[str, Callable[[], Policy]] = {
    "none": policy,
    "block": lambda: policy(outward=[bound(Words("w", ("bad", "worse")))]),
    "redact": lambda: policy(outward=[bound(Words("w", ("bad", "worse"), Action.REDACT))]),
    "flag": lambda: policy(outward=[replace(bound(Words("w", ("bad",), Action.FLAG)), flags=True)]),
    "sentences": lambda: policy(outward=[bound(Words("s", ("bad",), Action.REDACT, Unit.SENTENCE))]),
    "both": lambda: policy(
        outward=[bound(Words("w", ("worse",), Action.REDACT)), bound(Words("s", ("bad",), unit=Unit.SENTENCE))]
    ),
    "answer": lambda: policy(outward=[bound(Words("a", ("bad",), unit=Unit.ANSWER))]),
}

PIECES = st.sampled_from(
    ["b", "a", "d", "ba", "bad", "wor", "se", " good", " ", ". ", "A", "\n", '"', "\u00e9", "", "x" * 300]
)
CHUNKS = st.lists(
    st.one_of(
        PIECES.map(lambda text: event(delta(text))),
        PIECES.map(lambda text: event(delta(None, reasoning_content=text))),
        PIECES.map(lambda text: event({**delta(text), "usage": None, "obfuscation": "Zq9"})),
        PIECES.map(lambda text: event({**delta(text), "usage": usage(1, 2)})),
        PIECES.map(lambda text: event({**delta(text), "note": text})),
        PIECES.map(lambda text: b": " + text.encode().replace(b"\n", b"") + b"\n\n"),
        PIECES.map(lambda text: b"event: x\n" + event(delta(text))),
        st.sampled_from([event({**delta(), "choices": [], "usage": usage(3, 4)}), b"data: {\n\n", b"data: [1]\n\n"]),
    ),
    max_size=14,
)


@given(
    name=st.sampled_from(sorted(POLICIES)),
    said=CHUNKS,
    cuts=st.lists(st.integers(0, 3000), max_size=6),
    shut=st.lists(st.booleans(), max_size=4),
    ending=st.sampled_from([[event(delta(finish="stop")), DONE], [event(delta(finish="stop"))], [DONE], []]),
)
@settings(max_examples=250)
def test_it_delivers_and_records_the_same(
    name: str, said: list[bytes], cuts: list[int], shut: list[bool], ending: list[bytes]
) -> None:
    raw = b"".join([*said, *ending])
    marks = sorted({0, len(raw), *(cut for cut in cuts if cut < len(raw))})
    chunks: list[bytes | UpstreamError] = [raw[a:b] for a, b in pairwise(marks)] if cuts else [*said, *ending]
    if not ending:
        chunks.append(UpstreamBroken("cut off"))
    read = run(streamed(POLICIES[name](), chunks))
    other, _ = run(poured(POLICIES[name](), chunks, shut))
    assert other.raw == read.raw
    assert (other.status, other.ended) == (read.status, read.ended)
    assert known(other.record) == known(read.record)
    assert [a.text for a in other.answers] == [a.text for a in read.answers]


WORDS = [event(delta(f" word{n}")) for n in range(20)]


@pytest.mark.parametrize("name", ["none", "block", "redact", "flag", "sentences", "both"])
async def test_what_need_not_wait_is_told_at_once(name: str) -> None:
    _, told = await poured(POLICIES[name](), [*WORDS, event(delta(finish="stop")), DONE])
    assert told.told >= (0 if name in {"sentences", "both"} else 18)


async def test_a_client_that_is_slow_is_waited_for() -> None:
    heard, told = await poured(policy(), [*WORDS, event(delta(finish="stop")), DONE], shut=[True])
    assert told.told == 0
    assert heard.raw == b"".join([*WORDS, event(delta(finish="stop")), DONE])


async def test_waiting_for_the_upstream_is_the_upstreams_time_and_judging_is_not() -> None:
    class Slow(Words):
        def found(self, text: str) -> list[tuple[int, int]]:
            time.sleep(0.005)
            return Words.found(self, text)

    heard, told = await poured(
        policy(outward=[bound(Slow("w", ("bad",)))]), [*WORDS, event(delta(finish="stop")), DONE]
    )
    assert told.told >= 18
    timing = heard.record.timing
    assert timing.finished is not None
    assert timing.upstream < 0.1 < timing.finished - timing.started
