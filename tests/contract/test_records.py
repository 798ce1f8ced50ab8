"""What the record of an exchange says of it, on every endpoint: what was judged, and what the client was sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from support.speaking import CUT, FORBIDDEN, SAYS
from support.stage import Stage

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("contract")]

Json = dict[str, Any]
ASKED = "When is the tide?"


def asking(endpoint: str, text: str) -> Json:
    """A request that says `text` and nothing else that is judged."""
    match endpoint:
        case "chat/completions":
            return {"model": "scripted", "messages": [{"role": "user", "content": text}]}
        case "messages":
            return {"model": "scripted", "max_tokens": 50, "messages": [{"role": "user", "content": text}]}
        case "completions":
            return {"model": "scripted", "prompt": text}
        case _:
            return {"model": "scripted", "input": text}


TEXTS = ("chat/completions", "completions", "responses", "messages")
ENDPOINTS = [
    *((name, stream) for name in TEXTS for stream in (False, True)),
    ("embeddings", False),
    ("moderations", False),
]


@pytest.fixture(scope="module")
def gateway(stage: Stage) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stage.base_url, trust_env=False, timeout=60) as made:
        yield made


def told(gateway: httpx.Client, stage: Stage, endpoint: str, body: Json) -> tuple[httpx.Response, Json]:
    """The answer, and the record of it."""
    answer = gateway.post(endpoint, json=body)
    (record,) = [e for e in stage.gateway.written() if e["id"] == answer.headers["x-request-id"]]
    return answer, record


@pytest.mark.parametrize(("endpoint", "stream"), ENDPOINTS)
def test_all_text_is_judged_and_all_that_is_sent_is_counted(
    gateway: httpx.Client, stage: Stage, endpoint: str, stream: bool
) -> None:
    answer, record = told(gateway, stage, endpoint, asking(endpoint, ASKED) | ({"stream": True} if stream else {}))
    assert answer.status_code == 200, answer.text
    assert (record["endpoint"], record["outcome"], record["stream"]) == (f"/{endpoint}", "completed", stream)
    assert record["sent_bytes"] == len(answer.content)
    says = len(SAYS) if endpoint in TEXTS else 0
    assert record["scanned_bytes"] == record["scannable_bytes"] == len(ASKED) + says


@pytest.mark.parametrize(("endpoint", "stream"), ENDPOINTS)
def test_a_refused_request_is_judged_whole(gateway: httpx.Client, stage: Stage, endpoint: str, stream: bool) -> None:
    text = f"Two {FORBIDDEN}s."
    answer, record = told(gateway, stage, endpoint, asking(endpoint, text) | ({"stream": True} if stream else {}))
    assert record["outcome"] == ("completed" if endpoint == "moderations" else "blocked")
    assert record["sent_bytes"] == len(answer.content)
    assert record["scanned_bytes"] == record["scannable_bytes"] == len(text)


@pytest.mark.parametrize("endpoint", TEXTS)
def test_of_a_stream_that_is_cut_all_that_came_is_judged(gateway: httpx.Client, stage: Stage, endpoint: str) -> None:
    body = asking(endpoint, f"say {CUT}{FORBIDDEN} with you.")
    answer, record = told(gateway, stage, endpoint, {**body, "stream": True})
    assert (record["outcome"], record["error"]) == ("blocked", "content_filter")
    assert FORBIDDEN not in answer.text
    assert record["sent_bytes"] == len(answer.content)
    assert record["scanned_bytes"] == record["scannable_bytes"] > len(CUT)


@pytest.mark.parametrize("endpoint", [*TEXTS, "embeddings", "moderations"])
@pytest.mark.parametrize(
    ("content", "kind", "error"),
    [
        (b"{", "application/json", "invalid_request_error"),
        (b"{}", "text/plain", "invalid_request_error"),
        (b'{"model":"nobody"}', "application/json", "invalid_request_error"),
    ],
)
def test_what_never_became_an_exchange_is_recorded_by_its_error(
    gateway: httpx.Client, stage: Stage, endpoint: str, content: bytes, kind: str, error: str
) -> None:
    answer = gateway.post(endpoint, content=content, headers={"content-type": kind})
    (record,) = [e for e in stage.gateway.written() if e["id"] == answer.headers["x-request-id"]]
    assert answer.status_code in {400, 415}
    assert (record["outcome"], record["error"], record["status"]) == ("rejected", error, answer.status_code)
    assert record["sent_bytes"] == len(answer.content)
    assert answer.json()["error"]["type"] == error
