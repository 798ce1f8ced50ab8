"""`/v1/embeddings` from request to record, and upstreams that have no such endpoint."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from support.paths import JSON, Canned, Heard, call, pipeline, walked
from support.rails import Words, bound, policy

from gateway.config.schema import EmbeddedSpec, LiteLLMSpec, RouteSpec
from gateway.config.traffic import MemberSpec
from gateway.policy.verdict import Action
from gateway.routing import Routes, Target
from gateway.wire.codec import CHAT, COMPLETIONS, EMBEDDINGS, Codec

NOTHING = policy()
BAD = policy(inward=[bound(Words("in", ("bad",)))], outward=[bound(Words("out", ("bad",)))])
SOFT = policy(inward=[bound(Words("in", ("bad",), Action.REDACT))])
VECTORS = {
    "object": "list",
    "model": "theirs",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -1e-3, 1]}],
    "usage": {"prompt_tokens": 3, "total_tokens": 3},
}
WORDS: dict[str, Any] = {"model": "m", "prompt": "hi", "input": "hi", "messages": [{"role": "user", "content": "hi"}]}


def ask(given: Any = "The tide", **more: Any) -> dict[str, Any]:
    return {"model": "m", "input": given, **more}


def vectors(said: Any = VECTORS, **more: Any) -> Canned:
    return Canned([said if isinstance(said, bytes) else orjson.dumps(said)], (JSON,), **more)


async def test_untouched_bytes_pass_both_ways() -> None:
    raw, up = b'{"model" : "m","input":["a\\u0020b","c"],"dimensions":3}', vectors(b'{"data":[],"model":"theirs"} ')
    heard = await walked(BAD, up, body=raw, codec=EMBEDDINGS)
    assert (up.asks[0].body, up.asks[0].endpoint, up.asks[0].stream) == (raw, "/embeddings", False)
    assert heard.raw == up.chunks[0]


async def test_its_tokens_are_counted_and_it_has_no_first_token() -> None:
    heard = await walked(NOTHING, vectors(), body=ask(), codec=EMBEDDINGS)
    record = heard.record
    assert (record.outcome, record.usage.input, record.usage.output) == ("completed", 3, 0)
    assert (record.answered, record.timing.first_token) == ("theirs", None)
    assert heard.answers[0].text == ""  # nothing to score


async def test_a_field_named_stream_makes_it_none() -> None:
    up = vectors()
    heard = await walked(NOTHING, up, body=ask(stream=True), codec=EMBEDDINGS)
    assert (up.asks[0].stream, heard.record.stream, heard.status) == (False, False, 200)
    assert orjson.loads(up.asks[0].body) == ask(stream=True)


@pytest.mark.parametrize("given", ["so bad", ["fine", "so bad"]])
async def test_inputs_are_judged(given: Any) -> None:
    up = vectors()
    heard = await walked(BAD, up, body=ask(given), codec=EMBEDDINGS)
    assert (up.asks, heard.status, heard.record.outcome) == ([], 400, "blocked")


async def test_inputs_are_rewritten() -> None:
    up = vectors()
    await walked(SOFT, up, body=ask(["a bad one", "b"]), codec=EMBEDDINGS)
    assert orjson.loads(up.asks[0].body) == ask(["a [gone] one", "b"])


async def test_text_where_vectors_belong_is_judged() -> None:
    said = {**VECTORS, "warning": "so bad"}
    assert (await walked(BAD, vectors(said), body=ask(), codec=EMBEDDINGS)).record.outcome == "blocked"


@pytest.mark.parametrize("given", [[1, 2], [[1, 2]], [], None, 7])
async def test_what_cannot_be_judged_is_refused(given: Any) -> None:
    heard = await walked(NOTHING, vectors(), body=ask(given), codec=EMBEDDINGS)
    assert heard.status in {400, 422}
    assert heard.record.outcome == "rejected"


# Upstreams that cannot


def unable(heard: Heard) -> None:
    assert (heard.status, heard.headers["x-should-retry"]) == (501, "false")
    error = heard.json()["error"]
    assert (error["code"], error["type"], error["param"]) == ("not_supported", "not_supported", "model")
    assert (heard.record.outcome, heard.record.error) == ("rejected", "not_supported")


@pytest.mark.parametrize("codec", [COMPLETIONS, EMBEDDINGS], ids=lambda codec: codec.endpoint)
@pytest.mark.parametrize(
    ("status", "said"),
    [
        (404, b'{"detail":"Not Found"}'),
        (404, b"<html>not here</html>"),
        (404, b""),
        (405, b'{"detail":"Method Not Allowed"}'),
        (404, b'{"error":{"message":"File Not Found","type":"not_found_error","code":404}}'),
        (501, b'{"error":{"code":501,"message":"no embeddings","type":"not_supported_error"}}'),
    ],
)
async def test_an_upstream_that_lacks_the_endpoint_is_a_501(codec: Codec, status: int, said: bytes) -> None:
    heard = await walked(NOTHING, vectors(said, status=status), body=WORDS, codec=codec)
    unable(heard)
    assert heard.record.tried == ["up"]


@pytest.mark.parametrize(
    "said",
    [
        b'{"error":{"message":"none","type":"invalid_request_error","param":"model","code":"model_not_found"}}',
        b'{"object":"error","message":"The model does not exist.","type":"NotFoundError","code":404}',
    ],
)
async def test_an_upstream_that_lacks_the_model_says_so_itself(said: bytes) -> None:
    heard = await walked(NOTHING, vectors(said, status=404), body=WORDS, codec=EMBEDDINGS)
    assert (heard.status, heard.raw) == (404, said)


EMBEDDED = EmbeddedSpec(name="up", kind="embedded")
POOLED = EmbeddedSpec(name="up", kind="embedded", pooling="mean")
PROVIDER = LiteLLMSpec(name="up", kind="litellm", model="anthropic/x")


@pytest.mark.parametrize(
    ("spec", "codec", "able"),
    [
        (EMBEDDED, CHAT, True),
        (EMBEDDED, COMPLETIONS, True),
        (EMBEDDED, EMBEDDINGS, False),
        (POOLED, EMBEDDINGS, True),
        (PROVIDER, CHAT, True),
        (PROVIDER, COMPLETIONS, False),
        (PROVIDER, EMBEDDINGS, True),
    ],
)
async def test_upstreams_are_asked_only_what_they_can(spec: Any, codec: Codec, able: bool) -> None:
    up, heard = vectors(), Heard()
    line = pipeline(NOTHING, [up], heard)
    line.routes = Routes([RouteSpec(model="m", upstreams=(MemberSpec(name="up"),))], {"up": Target(up, spec)})
    await line.run(call(WORDS, codec), heard)
    assert len(up.asks) == able
    if not able:
        unable(heard)
        assert heard.begun == 0


async def test_of_several_those_that_can_are_asked() -> None:
    first, second, heard = vectors(name="a"), vectors(name="b"), Heard()
    line = pipeline(NOTHING, [first, second], heard)
    targets = {
        "a": Target(first, EMBEDDED.model_copy(update={"name": "a"})),
        "b": Target(second, POOLED.model_copy(update={"name": "b"})),
    }
    line.routes = Routes([RouteSpec(model="m", upstreams=(MemberSpec(name="a"), MemberSpec(name="b")))], targets)
    await line.run(call(WORDS, EMBEDDINGS), heard)
    assert (heard.status, heard.record.tried) == (200, ["b"])
