"""Small inputs that unfold: what they cost the process that serves, in bytes."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from faults.entry import BODY, whole
from faults.stand import Stand, standing
from support.answers import JSON, SSE
from support.script import Script, Send, head

from gateway.wire.body import MAX_VALUES

pytestmark = [pytest.mark.system, pytest.mark.asyncio(loop_scope="module")]

MOST = 25  # times the bytes that were sent
LEAST = 24 << 20  # what any exchange may take, with what an allocator keeps
SIZE = 3 << 20  # bytes of a body
LIMIT = 64 << 20  # of one decoded answer


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stand(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    server = {"port": 0, "drain_s": 2, "max_body_mb": 10}
    async with standing(tmp_path_factory.mktemp("bombs"), server=server) as opened:
        await opened.well()
        yield opened


def filled(piece: bytes) -> bytes:
    return b",".join([piece] * (SIZE // (len(piece) + 1)))


def deep(depth: int) -> bytes:
    return filled(b"[" * depth + b"]" * depth)


BOMBS = {
    "empty objects": b'"x":[' + filled(b"{}") + b"]",
    "nested arrays": b'"x":[' + deep(100) + b"]",
    "numbers": b'"x":[' + filled(b"1.5") + b"]",
    "letters": b'"x":[' + filled(b'"a"') + b"]",
}
FULL = {
    # as much as is read: one value below the limit
    "objects": b"{}",
    "texts": b'"a"',
    "messages": b'{"role":"user","content":"a"}',
}


async def peak(stand: Stand, request: bytes) -> tuple[int, int]:
    """The status, and the most memory that the request took beyond what there was."""
    stand.forget_peak()
    before = stand.memory()
    heard = await stand.say(request)
    heard.well_formed()
    return heard.status, stand.memory("VmHWM") - before


@pytest.mark.parametrize("name", BOMBS)
async def test_a_body_of_too_many_values_is_refused_for_what_it_would_cost(stand: Stand, name: str) -> None:
    body = BODY[:-1] + b"," + BOMBS[name] + b"}"
    status, grown = await peak(stand, whole(body=body))
    assert status == 400
    assert grown < MOST * len(body)


@pytest.mark.parametrize("name", FULL)
async def test_a_body_costs_no_more_than_25_times_its_bytes(stand: Stand, name: str) -> None:
    """Of the least bytes that the limit on values lets in; below `LEAST` nothing is counted."""
    piece = FULL[name]
    count = (MAX_VALUES - 20) // max(1, piece.count(b",") + piece.count(b"{") + 1)
    values = b",".join([piece] * count)
    body = b'{"model":"m","messages":[%b]}' % values if name == "messages" else BODY[:-1] + b',"x":[' + values + b"]}"
    status, grown = await peak(stand, whole(body=body))
    assert status in {200, 503}  # where the machine is slow, a rail may be out of time
    assert grown < max(MOST * len(body), LEAST)


async def test_tokens_to_embed_are_no_crowd(stand: Stand) -> None:
    """As many as one request to OpenAI may have (API reference, "Create embeddings": 300,000 over all inputs)."""
    body = b'{"model":"m","input":[' + b",".join([b"[%b]" % b",".join([b"50256"] * 300)] * 1000) + b"]}"
    status, _ = await peak(stand, whole(body=body, first=b"POST /v1/embeddings HTTP/1.1"))
    assert status not in {400, 413}


async def test_prose_is_no_crowd(stand: Stand) -> None:
    """What separates values may stand in texts as often as anybody likes."""
    body = b'{"model":"m","messages":[{"role":"user","content":"%b"}]}' % (b'a, [b], {c}, \\"d\\", ' * 30_000)
    status, _ = await peak(stand, whole(body=body))
    assert status == 200


async def test_a_compressed_answer_costs_no_more_than_its_limit(stand: Stand) -> None:
    """A thousandth of it is sent; what it unfolds to is read up to the limit and no further."""
    bomb = gzip.compress(bytes(96 << 20))
    for kind in (JSON, SSE):
        lines = [kind, ("content-encoding", "gzip"), ("content-length", str(len(bomb)))]
        stand.model.play(Script((Send(head(200, lines)), Send(bomb))))
        status, grown = await peak(stand, whole())
        assert status == 502
        assert grown < 3 * LIMIT
