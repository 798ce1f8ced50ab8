"""What a client may write that others would believe: into logs, to other hosts, in an upstream's headers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import orjson
import pytest
import pytest_asyncio
from faults.entry import ASK, BODY, head, whole
from faults.stand import Stand, standing
from support.answers import answer
from support.scripted import scripted

pytestmark = [pytest.mark.system, pytest.mark.asyncio(loop_scope="module")]

INJECTIONS = [
    '\n{"level":"info","event":"exchange.completed","fake":1}',
    "\r\nHTTP/1.1 200 OK\r\n",
    "\x1b[2J\x1b]0;t\x07",
    "\u2028\u2029\u0085",
    "a\x00b",
    "%n%s%x{}",
    "${jndi:ldap://127.0.0.1/a}",
    "{{7*7}}",
    "<script>",
    "\u202egnirts",
    "x" * 100_000,
]
RAW = [b"\x00", b"\x1b[", b"\xe2\x80\xa8", b"\xc2\x85", b"\r", b"\x07"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stand(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    async with standing(tmp_path_factory.mktemp("strangers")) as opened:
        await opened.well()
        yield opened


def written(text: str) -> Iterator[bytes]:
    """`text` in each place of a request that might be logged."""
    for fields in ({"model": text}, {"user": text}, {"metadata": {text: text}}, {"tools": [_tool(text)]}):
        yield whole(body=orjson.dumps({**ASK, **fields}))
    line = text.encode("utf-8").replace(b"\r", b"").replace(b"\n", b"").replace(b"\x00", b"")[:4000]
    for name in (b"User-Agent", b"X-Request-Id", b"Traceparent", b"Tracestate", b"Referer", b"X-Forwarded-For"):
        yield whole(name + b": " + line)
    path = b"".join(b"%%%02x" % byte for byte in text.encode()[:500])
    yield whole(first=b"POST /v1/" + path + b"?key=sk-good HTTP/1.1")


def _tool(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": {}}}


async def test_nothing_that_a_client_writes_is_a_line_of_a_log(stand: Stand) -> None:
    before, requests = len(stand.site.events()), 0
    for text in INJECTIONS:
        for request in written(text):
            heard = await stand.say(request)
            assert heard.status < 500
            requests += 1
    raw = (stand.site.folder / "events.jsonl").read_bytes()
    said = "".join(stand.gateway.said).encode()
    assert not [mark for mark in RAW if mark in raw + said]
    events = stand.site.events()[before:]
    assert not [event for event in events if "fake" in event]
    assert len({event["id"] for event in events if "id" in event}) <= requests
    assert not await stand.leaks()


ELSEWHERE = ("{url}", "{host}", "//{host}", "http://user@{host}/", "{url}#", "{url}?x=", "\\\\{host}", "http:{host}")
FIELDS = (
    *("api_base", "base_url", "api_url", "endpoint", "host", "custom_host", "proxy", "upstream", "url", "model"),
    *("api_type", "azure_endpoint", "callback_url", "webhook", "custom_llm_provider", "litellm_params", "router"),
)
HEADERS = (
    *(b"X-Portkey-Custom-Host", b"X-Portkey-Config", b"X-Api-Base", b"X-Base-Url", b"X-Forwarded-Host", b"Forwarded"),
    *(b"X-Original-Url", b"X-Rewrite-Url", b"X-Upstream", b"Proxy", b"Helicone-Target-Url", b"X-Litellm-Api-Base"),
)


def tricks(url: str) -> Iterator[bytes]:
    """Ways to ask the gateway to ask somebody else."""
    host = url.removeprefix("http://").removesuffix("/v1")
    for form in ELSEWHERE:
        value = form.format(url=url, host=host)
        for field in FIELDS:
            yield whole(body=orjson.dumps({**ASK, field: value}))
        yield whole(body=orjson.dumps({**ASK, "messages": [{"role": "user", "content": [_image(value)]}]}))
    for name in HEADERS:
        yield whole(name + b": " + host.encode())
        yield whole(name + b": " + url.encode())
    for target in (url, f"/v1/proxy/{url}", f"/v1/{host}/chat/completions", f"//{host}/v1/chat/completions"):
        yield whole(first=b"POST " + target.encode() + b" HTTP/1.1")
    yield head(b"Host: " + host.encode(), b"Authorization: Bearer sk-good", *_FRAMED) + BODY


_FRAMED = (b"Content-Type: application/json", b"Content-Length: %d" % len(BODY))


def _image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


async def test_nobody_is_asked_whom_a_client_chose(stand: Stand) -> None:
    async with scripted() as elsewhere:
        asked = [await stand.say(trick) for trick in tricks(elsewhere.base_url)]
        assert len(asked) > 150
        assert all(heard.status < 500 for heard in asked)
        assert not elsewhere.accepted
    assert all(seen.header("host") == f"127.0.0.1:{stand.model.port}" for seen in stand.model.seen)


SENT = {"host", "user-agent", "content-type", "accept", "accept-encoding", "authorization", "content-length"}


async def test_an_upstream_hears_nothing_of_its_clients_but_their_trace(stand: Stand) -> None:
    stand.model.forget()
    lines = (
        *(b"Cookie: a=b", b"Proxy-Authorization: Basic x", b"X-Api-Key: canary", b"OpenAI-Organization: canary"),
        *(
            b"TE: trailers",
            b"Keep-Alive: timeout=9",
            b"Via: 1.1 canary",
            b"X-Forwarded-For: 1.2.3.4",
            b"Range: bytes=0-",
        ),
        *(
            b"Connection: x-hop",
            b"X-Hop: canary",
            b"Accept-Encoding: gzip",
            b"Origin: http://canary",
            b"Baggage: k=canary",
        ),
    )
    heard = await stand.say(whole(*lines))
    assert heard.status == 200
    seen = await stand.model.saw()
    assert {name.lower() for name, _ in seen.headers} - {"traceparent"} == SENT
    assert seen.header("authorization") == "Bearer sk-upstream"
    assert "canary" not in str(seen.headers)


async def test_an_upstreams_secrets_stay_here_whatever_it_answers(stand: Stand) -> None:
    """An upstream that repeats its key and its headers in an error of our own making is not repeated."""
    for status in (401, 403):
        stand.model.play(
            answer(f"Incorrect API key: sk-upstream {status}", status, [("www-authenticate", "sk-upstream")])
        )
        heard = await stand.say(whole())
        assert heard.status == 502
        assert b"sk-upstream" not in heard.body + str(heard.headers).encode()
    assert not await stand.leaks()
