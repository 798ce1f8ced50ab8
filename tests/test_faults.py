"""What upstreams answer when they do not answer well, who is asked next, and what is made of it."""

from __future__ import annotations

import orjson
import pytest
from support.answers import completion
from support.paths import ASK, JSON, SSE, Canned, stream_of, unstreamed, walked
from support.rails import Words, bound, policy

from gateway import pipeline as pipeline_module
from gateway.errors import NotSupported, UpstreamTimeout, UpstreamUnreachable

NOTHING = policy()
BAD = policy(outward=[bound(Words("out", ("bad",)))])
HELLO = completion("Hello world")


def answering(name: str = "up") -> Canned:
    return Canned([orjson.dumps(HELLO)], (JSON,), name=name)


@pytest.mark.parametrize("status", [400, 404, 409, 413, 422, 429, 500, 502, 503, 504, 529])
@pytest.mark.parametrize("body", [b'{"error":{"message":"why","code":"x"}}', b"<html>nginx</html>", b"", b"[]"])
async def test_an_error_of_the_upstream_keeps_its_status(status: int, body: bytes) -> None:
    up = Canned([body], (JSON, ("retry-after", "7"), ("set-cookie", "a=b"), ("server", "theirs")), status)
    heard = await walked(NOTHING, up)
    assert heard.status == status
    assert heard.headers["retry-after"] == "7"
    assert not {"set-cookie", "server"} & set(heard.headers)
    if b"why" in body:
        assert heard.raw == body
    else:
        assert heard.json()["error"]["type"] == "upstream_error"
        assert b"nginx" not in heard.raw
    record = heard.record
    assert (record.outcome, record.error, record.status) == ("failed", "upstream_error", status)
    assert (record.usage.input, record.usage.output) == (0, 0)
    assert record.timing.first_token is None


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("body", [b'{"error":{"message":"Incorrect API key provided: sk-theirs"}}', b"sk-theirs"])
async def test_a_refusal_of_our_own_key_is_not_told(status: int, body: bytes) -> None:
    heard = await walked(NOTHING, Canned([body], (JSON, ("www-authenticate", "sk-theirs")), status))
    assert (heard.status, heard.json()["error"]["code"]) == (502, "upstream_error")
    assert "sk-theirs" not in heard.raw.decode() + str(heard.headers)
    assert (heard.record.outcome, heard.record.status) == ("failed", 502)


@pytest.mark.parametrize("status", [301, 302, 307, 304, 204, 199, 600, 999])
async def test_what_is_no_answer_is_a_bad_gateway(status: int) -> None:
    heard = await walked(NOTHING, Canned([b""], (JSON, ("location", "http://127.0.0.1/")), status))
    assert (heard.status, heard.json()["error"]["code"]) == (502, "upstream_broken")
    assert "location" not in heard.headers


@pytest.mark.parametrize("body", [b"", b"<html>", b"null", b"[]", b'{"a":', b'{"a":' + b"[" * 900 + b"]" * 900 + b"}"])
async def test_a_good_status_with_a_body_that_is_none_is_a_bad_gateway(body: bytes) -> None:
    heard = await unstreamed(NOTHING, body)
    assert (heard.status, heard.json()["error"]["code"]) == (502, "upstream_broken")


async def test_an_answer_too_large_to_be_held_is_a_bad_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_module, "MAX_ANSWER", 1000)
    heard = await walked(NOTHING, Canned([b" " * 600, b" " * 600], (JSON,)))
    assert heard.status == 502


async def test_an_error_with_a_good_status_is_recorded_as_one() -> None:
    heard = await unstreamed(NOTHING, {"error": {"message": "overloaded"}})
    assert (heard.status, heard.record.outcome, heard.record.error) == (200, "failed", "upstream_error")


async def test_a_stream_that_nobody_asked_for_is_a_bad_gateway() -> None:
    heard = await walked(NOTHING, Canned(stream_of(HELLO), (SSE,)), body=ASK)
    assert heard.status == 502


async def test_a_whole_answer_to_who_asked_for_a_stream_is_passed_on() -> None:
    heard = await walked(BAD, answering(), body={**ASK, "stream": True})
    assert heard.json() == HELLO
    blocked = await walked(BAD, Canned([orjson.dumps(completion("bad"))], (JSON,)), body={**ASK, "stream": True})
    assert blocked.record.outcome == "blocked"


async def test_headers_that_mean_nothing_to_a_client_stay_here() -> None:
    odd = (("Content-Type", "text/html"), ("OpenAI-Processing-MS", "12"), ("Retry-After", "a\x00b"), ("X-Api-Key", "k"))
    heard = await walked(NOTHING, Canned([orjson.dumps(HELLO)], odd))
    assert set(heard.headers) == {
        "content-type",
        "openai-processing-ms",
        "x-request-id",
        "x-tidegate-verdict",
        "x-tidegate-overhead-ms",
    }
    assert heard.headers["content-type"] == "application/json"


async def test_labels_of_an_answer_are_recorded_only_if_they_are_labels() -> None:
    odd = {**completion("x"), "model": {"text": "of the client"}}
    odd["choices"][0]["finish_reason"] = "as the client said"
    heard = await unstreamed(NOTHING, odd)
    assert (heard.record.answered, heard.record.finish) == ("", "other")


# Fallback


@pytest.mark.parametrize(
    "first",
    [
        Canned([], error=UpstreamUnreachable("refused")),
        Canned([], error=UpstreamTimeout("late")),
        *(Canned([b"{}"], (JSON,), status) for status in (408, 429, 500, 502, 503, 504, 529)),
    ],
)
async def test_the_next_upstream_is_asked_where_the_first_did_not_begin(first: Canned) -> None:
    first.name, second = "first", answering(name="second")
    heard = await walked(NOTHING, first, second)
    assert heard.json() == HELLO
    assert (heard.record.tried, heard.record.upstream, heard.record.outcome) == (
        ["first", "second"],
        "second",
        "completed",
    )
    assert first.asks == second.asks


@pytest.mark.parametrize("status", [400, 404, 422])
async def test_the_clients_own_mistakes_are_not_tried_elsewhere(status: int) -> None:
    second = answering(name="second")
    heard = await walked(NOTHING, Canned([b"{}"], (JSON,), status, "first"), second)
    assert (heard.status, second.asks) == (status, [])


async def test_after_the_first_byte_no_other_upstream_is_asked() -> None:
    second = Canned(stream_of(HELLO), name="second")
    heard = await walked(NOTHING, Canned([b": hi\n\n", b"x"], name="first"), second, body={**ASK, "stream": True})
    assert second.asks == []
    assert heard.record.error == "upstream_broken"


async def test_the_last_error_is_told_where_none_answers() -> None:
    first = Canned([], error=UpstreamUnreachable("refused"), name="first")
    heard = await walked(NOTHING, first, Canned([], error=UpstreamTimeout("late"), name="second"))
    assert (heard.status, heard.record.error, heard.record.outcome) == (504, "upstream_timeout", "failed")
    assert (heard.record.tried, heard.record.upstream) == (["first", "second"], "")
    heard = await walked(NOTHING, first, Canned([b"{}"], (JSON,), 503, "second"))
    assert (heard.status, heard.record.upstream) == (503, "second")


async def test_what_an_upstream_cannot_do_is_said() -> None:
    heard = await walked(NOTHING, Canned([], error=NotSupported("no tools here")))  # type: ignore[arg-type]  # raised alike
    assert (heard.status, heard.json()["error"]["code"], heard.record.outcome) == (501, "not_supported", "rejected")
