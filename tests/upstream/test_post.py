"""Posting to an operator's service: what is sent, what is read, and every way in which there is no answer."""

from __future__ import annotations

import gzip

import pytest
from support.answers import answer
from support.script import Close, Hang, Reset, Script, Send, chunk, head
from support.scripted import Server, refusing

from gateway.errors import UpstreamBroken, UpstreamTimeout, UpstreamUnreachable
from gateway.upstream.pool import Origin, Pool
from gateway.upstream.post import LARGEST, Post

PATIENT_S = 30.0


@pytest.fixture
def post(pool: Pool) -> Post:
    return Post(pool)


async def test_a_request_says_what_it_was_given_and_its_answer_is_read_whole(server: Server, post: Post) -> None:
    server.play(
        Script((Send(head(200, [("transfer-encoding", "chunked")])), *map(Send, map(chunk, (b"a", b"b", b"")))))
    )
    said = await post.post(f"{server.base_url}/judge?x=1", b"{}", {"webhook-id": "msg_1"}, deadline_s=PATIENT_S)
    assert said == (200, b"ab")
    seen = server.seen[0]
    assert (seen.method, seen.target, seen.body) == ("POST", "/v1/judge?x=1", b"{}")
    assert seen.header("host") == f"127.0.0.1:{server.port}"
    assert seen.header("content-type") == "application/json"
    assert seen.header("webhook-id") == "msg_1"
    assert (seen.header("cookie"), seen.header("authorization")) == ("", "")


async def test_connections_are_used_again(server: Server, post: Post) -> None:
    for _ in range(3):
        server.play(answer({}))
        assert await post.post(server.base_url, b"{}", {}, deadline_s=PATIENT_S) == (200, b"{}")
    assert server.accepted == 1


@pytest.mark.parametrize("status", [301, 307, 404, 500])
async def test_a_redirect_is_an_answer_and_is_not_followed(server: Server, post: Post, status: int) -> None:
    server.play(answer("elsewhere", status, [("location", f"{server.base_url}/other")]))
    assert await post.post(server.base_url, b"{}", {}, deadline_s=PATIENT_S) == (status, b"elsewhere")
    assert len(server.seen) == 1


HALF = head(200, [("content-length", "10")]) + b"half"
ENDLESS = Script((Send(head(200, [("transfer-encoding", "chunked")])), *[Send(chunk(b" " * 65_536))] * 80))
ZIPPED = answer(gzip.compress(b"{}"), headers=[("content-encoding", "gzip")])


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        (Script((Hang(),)), UpstreamTimeout),
        (Script((Send(HALF), Hang())), UpstreamTimeout),
        (Script((Close(),)), UpstreamUnreachable),
        (Script((Reset(),)), UpstreamUnreachable),
        (Script((Send(HALF), Close())), UpstreamBroken),
        (Script((Send(b"SSH-2.0-OpenSSH_9.9\r\n"), Close())), UpstreamBroken),
        (ENDLESS, UpstreamBroken),
        (answer("x" * (LARGEST + 1)), UpstreamBroken),
        (ZIPPED, UpstreamBroken),
    ],
    ids=["silent", "stops", "closes", "resets", "is cut off", "is not HTTP", "is endless", "is too large", "is zipped"],
)
async def test_a_service_that(server: Server, post: Post, script: Script, fault: type[Exception]) -> None:
    server.play(script)
    with pytest.raises(fault):
        await post.post(server.base_url, b"secret words", {}, deadline_s=0.5 if fault is UpstreamTimeout else PATIENT_S)
    server.forget()
    server.play(answer({}))
    assert await post.post(server.base_url, b"{}", {}, deadline_s=PATIENT_S) == (200, b"{}")


async def test_nobody_there_is_told_as_such(post: Post) -> None:
    with refusing() as url, pytest.raises(UpstreamUnreachable):
        await post.post(url, b"{}", {}, deadline_s=PATIENT_S)


async def test_a_header_of_two_lines_is_not_sent(server: Server, post: Post) -> None:
    with pytest.raises(ValueError, match="one line"):
        await post.post(server.base_url, b"{}", {"x": "a\r\nevil: b"}, deadline_s=PATIENT_S)
    assert server.seen == []


@pytest.mark.parametrize(
    ("url", "authority"),
    [("http://a/x", "a"), ("https://a:443", "a"), ("http://a:443", "a:443"), ("http://[::1]:80", "[::1]")],
)
def test_a_host_is_named_as_http_has_it(url: str, authority: str) -> None:
    assert Origin.of(url).authority == authority
