"""The HTTP face, over real sockets: what is refused and how, what every answer carries, what is recorded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from support.answers import DONE, completion, delta, event, stream
from support.fronts import Front, front
from support.rails import Words, bound, policy
from support.scripted import Server, refusing, scripted

from gateway.config.schema import Key

ASK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hello world"}]}
BAD = policy(inward=[bound(Words("in", ("bad",)))], outward=[bound(Words("out", ("bad",)))])


@pytest.fixture
async def upstream() -> AsyncIterator[Server]:
    async with scripted() as server:
        yield server


@pytest.fixture
async def gateway(upstream: Server, tmp_path: Path) -> AsyncIterator[Front]:
    async with front(tmp_path, [upstream.base_url], {"default": BAD}) as made:
        yield made


def standing(answer: httpx.Response) -> None:
    """What every answer carries."""
    assert answer.headers["x-request-id"].startswith("req_")
    assert answer.headers["x-tidegate-verdict"] in {"allow", "flag", "redact", "block", "unavailable"}
    assert float(answer.headers["x-tidegate-overhead-ms"]) >= 0


def refused(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The error of an answer that is one, in OpenAI's envelope."""
    standing(answer)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
    assert set(answer.json()) == {"error"}
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    return error


# Answers


async def test_an_answer_comes_back_byte_for_byte(gateway: Front, upstream: Server) -> None:
    answer = await gateway.ask(ASK)
    standing(answer)
    assert answer.text == json.dumps(completion("hello world", "m"))
    assert upstream.seen[0].body == orjson.dumps(ASK)
    record = await gateway.record()
    assert (record["id"], record["status"], record["outcome"]) == (answer.headers["x-request-id"], 200, "completed")
    assert record["sent_bytes"] == len(answer.content)


async def test_a_stream_comes_back_byte_for_byte(gateway: Front, upstream: Server) -> None:
    parts = [event(delta("Hello")), b": ping\n\n", event(delta(" there")), event(delta(finish="stop")), DONE]
    upstream.play(stream(parts, delay=0.01))
    answer = await gateway.ask({**ASK, "stream": True})
    standing(answer)
    assert answer.content == b"".join(parts)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-cache"
    assert "content-length" not in answer.headers


async def test_a_streams_first_event_does_not_wait_for_the_second(gateway: Front, upstream: Server) -> None:
    upstream.play(stream([event(delta("Hello")), event(delta(finish="stop")), DONE], delay=0.4))
    body = orjson.dumps({**ASK, "stream": True})
    headers = {"content-type": "application/json"}
    async with gateway.client.stream("POST", "/v1/chat/completions", content=body, headers=headers) as answer:
        pieces = answer.aiter_bytes()
        assert await anext(pieces) == event(delta("Hello"))
        assert gateway.written() == []
        assert b"".join([piece async for piece in pieces]).endswith(DONE)


async def test_connections_to_the_upstream_are_used_again(gateway: Front, upstream: Server) -> None:
    for n in range(4):
        await gateway.ask({**ASK, "stream": n % 2 == 0})
    assert upstream.accepted == 1


async def test_the_clients_trace_goes_on_and_its_other_headers_do_not(gateway: Front, upstream: Server) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    others = {"x-guardrail-mode": "off", "cookie": "a=b", "authorization": "Bearer x"}
    await gateway.ask(ASK, headers={"traceparent": trace, "tracestate": "v=1", **others})
    seen = upstream.seen[0]
    assert (seen.header("traceparent"), seen.header("tracestate")) == (trace, "v=1")
    assert not {"cookie", "x-guardrail-mode", "authorization"} & {name.lower() for name, _ in seen.headers}
    record = await gateway.record()
    assert (record["trace"], record["parent"]) == ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")


@pytest.mark.parametrize(
    "odd", ["", "00-x-y-01", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-" + "a" * 5000]
)
async def test_an_odd_trace_stays_here(gateway: Front, upstream: Server, odd: str) -> None:
    await gateway.ask(ASK, headers={"traceparent": odd})
    assert upstream.seen[0].header("traceparent") == ""
    assert (await gateway.record())["trace"] == ""


# Refusals


@pytest.mark.parametrize(
    ("body", "status", "param", "code"),
    [
        (b"", 400, None, None),
        (b"{", 400, None, None),
        (b"\xff\xfe", 400, None, None),
        (b'{"model":"m","stream":false,"stream":true,"messages":[{"role":"user"}]}', 400, None, None),
        (b'{"model":"m","messages":[{"role":"user","content":"\\ud800"}]}', 400, None, None),
        (b'{"model":"m","messages":' + b"[" * 100_000, 400, None, None),
        ({"model": "m", "messages": []}, 400, "messages", None),
        ({**ASK, "model": "nope"}, 404, "model", "model_not_found"),
        ({"model": "m", "messages": [{"role": "user", "content": "so bad"}]}, 400, None, "content_filter"),
        ({**ASK, "messages": [{"role": "user", "content": [{"type": "x"}]}]}, 422, "messages[0].content[0].type", None),
        (b" " * 2_000_000, 413, None, "request_too_large"),
    ],
)
async def test_a_bad_request_is_refused_once_and_recorded_once(
    gateway: Front, upstream: Server, body: Any, status: int, param: str | None, code: str | None
) -> None:
    answer = await gateway.ask(body)
    error = refused(answer, status)
    assert (error["param"], error["code"]) == (param, code)
    record = await gateway.record()
    assert (record["status"], record["outcome"]) == (status, "blocked" if code == "content_filter" else "rejected")
    assert record["id"] == answer.headers["x-request-id"]
    assert record["sent_bytes"] == len(answer.content)
    assert upstream.seen == []
    assert (await gateway.ask(ASK)).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-type": "multipart/form-data; boundary=x"}, 415),
        ({"content-type": "application/json; charset=utf-7"}, 415),
        ({"content-type": ""}, 415),
        ({"content-encoding": "gzip"}, 415),
        ({"content-encoding": "br, identity"}, 415),
        ({"content-type": 'application/json; charset="UTF-8"'}, 200),
        ({"content-type": "Application/JSON ; charset=utf-8"}, 200),
        ({"content-encoding": "identity"}, 200),
    ],
)
async def test_a_body_is_json_and_says_so(gateway: Front, headers: dict[str, str], status: int) -> None:
    answer = await gateway.ask(ASK, headers=headers)
    standing(answer)
    assert answer.status_code == status
    assert (await gateway.record())["status"] == status


async def test_a_body_without_a_length_is_counted_as_it_comes(gateway: Front) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 65536

    headers = {"content-type": "application/json"}
    answer = await gateway.client.post("/v1/chat/completions", content=endless(), headers=headers)
    refused(answer, 413)

    async def whole() -> AsyncIterator[bytes]:
        for n in orjson.dumps(ASK):
            yield bytes([n])

    assert (await gateway.client.post("/v1/chat/completions", content=whole(), headers=headers)).status_code == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE"])
async def test_another_method_is_not_allowed(gateway: Front, method: str) -> None:
    answer = await gateway.client.request(method, "/v1/chat/completions")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert (await gateway.record())["status"] == 405


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/v1/embeddings",
        "/v1/chat/completions/",
        "/v1/Chat/Completions",
        "/v1/chat/completions;x",
        "/v1//chat/completions",
    ],
)
async def test_an_unknown_endpoint_is_never_passed_through(gateway: Front, upstream: Server, path: str) -> None:
    for answer in (await gateway.client.get(path), await gateway.client.post(path, json=ASK)):
        refused(answer, 404)
    assert upstream.seen == []


async def test_models_are_listed_as_openai_lists_them(gateway: Front) -> None:
    answer = await gateway.client.get("/v1/models")
    standing(answer)
    assert answer.json() == {
        "object": "list",
        "data": [{"id": "m", "object": "model", "created": 0, "owned_by": "tidegate"}],
    }
    post = await gateway.client.post("/v1/models", json={})
    refused(post, 405)
    assert post.headers["allow"] == "GET, HEAD"


async def test_keys_are_asked_for_where_there_are_keys(upstream: Server, tmp_path: Path) -> None:
    keys = [Key(name="app", sha256=sha256(b"sk-app").hexdigest())]
    async with front(tmp_path, [upstream.base_url], {"default": BAD}, keys=keys) as gateway:
        for headers in ({}, {"authorization": "Bearer sk-ap"}, {"authorization": "sk-app"}):
            answer = await gateway.ask(ASK, headers=headers)
            assert refused(answer, 401)["code"] == "invalid_api_key"
            assert answer.headers["www-authenticate"] == "Bearer"
            refused(await gateway.client.get("/v1/models", headers=headers), 401)
        twice = [("authorization", "Bearer sk-app")] * 2
        refused(await gateway.client.post("/v1/chat/completions", content=b"{}", headers=twice), 401)
        assert upstream.seen == []
        assert (await gateway.ask(ASK, headers={"authorization": "Bearer sk-app"})).status_code == 200
        record = await gateway.record(5)
        assert (record["principal"], record["outcome"]) == ("app", "completed")
        rejected = gateway.written()[:-1]
        assert {(r["status"], r["outcome"], r["error"], r["principal"]) for r in rejected} == {
            (401, "rejected", "invalid_api_key", "")
        }
        assert b"sk-app" not in gateway.events.read_bytes()


# Upstreams, over real connections


async def test_an_upstream_that_refuses_is_a_bad_gateway_and_the_next_one_is_asked(
    upstream: Server, tmp_path: Path
) -> None:
    with refusing() as nobody:
        async with front(tmp_path, [nobody], {"default": BAD}) as gateway:
            assert refused(await gateway.ask(ASK), 502)["code"] == "upstream_unreachable"
            record = await gateway.record()
            assert (record["outcome"], record["error"], record["tried"]) == ("failed", "upstream_unreachable", ["up0"])
        second = tmp_path / "second"
        async with front(second, [nobody, upstream.base_url], {"default": BAD}) as gateway:
            assert (await gateway.ask(ASK)).status_code == 200
            record = await gateway.record()
            assert (record["tried"], record["upstream"]) == (["up0", "up1"], "up1")


async def test_a_burst_of_exchanges_leaves_a_record_each(gateway: Front) -> None:
    bodies = [
        {**ASK, "stream": n % 2 == 0, "messages": [{"role": "user", "content": "bad" if n % 5 == 0 else f"number {n}"}]}
        for n in range(100)
    ]
    answers = await asyncio.gather(*map(gateway.ask, bodies))
    records = {record["id"]: record for record in gateway.written()}
    assert len(records) == len(gateway.written()) == len(gateway.written("exchange.started")) == 100
    for n, answer in enumerate(answers):
        assert records[answer.headers["x-request-id"]]["status"] == answer.status_code == (400 if n % 5 == 0 else 200)
    assert gateway.metrics.in_flight == 0
