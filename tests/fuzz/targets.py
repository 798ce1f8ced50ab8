"""What is fuzzed: each target takes any bytes, raises nothing, and asserts what must hold whatever they are."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import orjson
import uvicorn
from starlette.types import Receive, Scope, Send
from support.paths import ASK, JSON, SSE, Canned, Heard, pipeline
from support.rails import Words, bound, policy
from support.transport import Kept
from uvicorn.server import ServerState

from gateway.config.load import load
from gateway.config.policy import PatternSpec
from gateway.errors import ConfigError, Problem, TidegateError
from gateway.front.framing import Framed
from gateway.http.translated import MESSAGES, RESPONSES, Translator, Wire
from gateway.pipeline.run import Call, Principal
from gateway.policy.automaton.scanner import Scanner
from gateway.policy.rail import Tools
from gateway.policy.rails import pattern
from gateway.upstream.connection import Connection
from gateway.wire import body as json_body
from gateway.wire import sse
from gateway.wire.codec import CHAT, COMPLETIONS, EMBEDDINGS, MODERATIONS, Codec

Target = Callable[[bytes], None]

FORBIDDEN = "red zebra"  # no identifier, so judged wherever a text may stand
_POLICY = policy(outward=[bound(Words("out", (FORBIDDEN,)))])
_FAULTS = {"", "content_filter", "upstream_broken", "upstream_error"}  # never a fault of ours
SECRET = "s3cr3t-of-nobody"
_TOLD = {"completed", "blocked", "failed", "rejected"}


def cut(data: bytes) -> tuple[bytes, list[bytes]]:
    """The first two bytes decide where the rest is split; the rest, and its pieces."""
    where, rest = data[:2], data[2:]
    marks = sorted({0, len(rest), *(mark % (len(rest) + 1) for mark in where)})
    return rest, [rest[a:b] for a, b in pairwise(marks)]


# Server-sent events


def events(data: bytes) -> None:
    """However the bytes are split, the events are the same, and hold every byte."""
    whole, pieces = cut(data)
    split, once = sse.Decoder(), sse.Decoder()
    found = [event for piece in pieces for event in split.feed(piece)] + split.finish()
    assert found == once.feed(whole) + once.finish()
    assert b"".join(event.raw for event in found) == whole
    assert all(sse.parsed(sse.encoded(event.data)).data == event.data for event in found if event.data)


# Requests

Read = TypeVar("Read")


def _read(read: Callable[[bytes], Read], data: bytes) -> Read | None:
    """What `data` is read as; None where it is refused, which must be the client's fault or beyond the API."""
    refused = 400
    try:
        return read(data)
    except TidegateError as error:
        refused = error.status
    assert 400 <= refused < 500 or refused == 501
    return None


def _asked(codec: Codec, data: bytes) -> None:
    """A request is refused, or each of its strings is a passage or a word of the API."""
    body = _read(codec.read, data)
    if body is None:
        return
    passages = codec.prompts(body)
    codec.question(body)
    codec.context(body, frozenset({"system", "tool", "documents"}))
    known = {(passage.path, passage.text) for passage in passages}
    strings = {(path, text) for path, text in json_body.strings(body) if text}
    assert {place for place in known if all(place)} <= strings
    texts = [(passage.path, "x") for passage in passages if passage.path]
    json_body.encoded(json_body.rewritten(body, texts))


def chat_request(data: bytes) -> None:
    _asked(CHAT, data)


def completions_request(data: bytes) -> None:
    _asked(COMPLETIONS, data)


def embeddings_request(data: bytes) -> None:
    _asked(EMBEDDINGS, data)


def moderations_request(data: bytes) -> None:
    _asked(MODERATIONS, data)


def _translated(wire: Wire, data: bytes) -> None:
    """A request in another wire is refused, or is a request of the chat API."""
    raw = _read(Translator(wire).take, data)
    if raw is not None:
        _asked(CHAT, raw)


def messages_request(data: bytes) -> None:
    _translated(MESSAGES, data)


def responses_request(data: bytes) -> None:
    _translated(RESPONSES, data)


# Answers, on the whole path of an exchange


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


def _answered(asked: Mapping[str, Any], up: Canned, codec: Codec, wire: Wire | None) -> Heard:
    """What a client hears of an exchange in which `up` answers."""
    heard, twin = Heard(), Translator(wire) if wire else None
    raw = orjson.dumps(asked)
    raw = twin.take(raw) if twin else raw
    call = Call("req_1", codec.endpoint, raw, Principal(), 0.0, codec=codec, twin=twin)
    _loop().run_until_complete(pipeline(_POLICY, [up], heard).run(call, heard))
    assert heard.ended
    assert heard.record.outcome in _TOLD
    assert heard.record.error in _FAULTS
    assert heard.status in {200, 400, 502}
    assert not up.open
    return heard


_WIRES: list[tuple[Mapping[str, Any], Codec, Wire | None]] = [
    (ASK, CHAT, None),
    ({"model": "m", "prompt": "hello"}, COMPLETIONS, None),
    ({**ASK, "max_tokens": 9}, CHAT, MESSAGES),
    ({"model": "m", "input": "hello"}, CHAT, RESPONSES),
]


def _which(data: bytes) -> tuple[tuple[Mapping[str, Any], Codec, Wire | None], bytes]:
    return _WIRES[data[0] % len(_WIRES) if data else 0], data[1:]


def streamed_answer(data: bytes) -> None:
    """Any bytes in place of a stream end as one, with a record; a forbidden word is in no text of it."""
    (asked, codec, wire), rest = _which(data)
    _, pieces = cut(rest)
    heard = _answered({**asked, "stream": True}, Canned(pieces, (SSE,)), codec, wire)
    if wire is None:
        assert not any(FORBIDDEN in text for text in _said(heard.raw, codec))


def _said(raw: bytes, codec: Codec) -> list[str]:
    """The texts of a stream, or of an answer in its place, put together as clients do."""
    decoder, texts = sse.Decoder(), dict[Any, str]()
    for number, event in enumerate(decoder.feed(raw) + decoder.finish()):
        with suppress(json_body.Unreadable):
            for place, text in enumerate(codec.deltas(json_body.answer(event.data))):
                key = text.key or (number, place)
                texts[key] = texts.get(key, "") + text.text
    return list(texts.values())


def whole_answer(data: bytes) -> None:
    """Any bytes in place of an answer end as one object, with a record; a forbidden word is not in it."""
    (asked, codec, wire), rest = _which(data)
    heard = _answered(asked, Canned([rest], (JSON,)), codec, wire)
    told = json_body.answer(heard.raw)
    if wire is None:
        assert not any(FORBIDDEN in text.text for text in codec.deltas(told))


def upstream_bytes(data: bytes) -> None:
    """Any bytes of a server are an answer or an error of ours, and never more than was sent."""
    _, pieces = cut(data)
    _loop().run_until_complete(_heard(pieces))


async def _heard(pieces: list[bytes]) -> None:
    connection = Connection()
    connection.connection_made(Kept())
    connection.ask("far", b"POST / HTTP/1.1\r\n\r\n")
    for piece in pieces:
        connection.data_received(piece)
    connection.connection_lost(None)
    size = 0
    with suppress(TidegateError):
        assert 200 <= (await connection.head(0)).status <= 999
        while part := await connection.read(0):
            size += len(part)
    assert size <= sum(map(len, pieces))


def client_bytes(data: bytes) -> None:
    """Any bytes of a client are requests or one refusal, the last; each answer is whole."""
    _, pieces = cut(data)
    _loop().run_until_complete(_served(pieces))


async def _served(pieces: list[bytes]) -> None:
    state, wire = ServerState(), Kept()
    protocol = Framed(config=_plain(), server_state=state, app_state={}, _loop=_loop())
    protocol.connection_made(wire)
    for piece in pieces:
        if not wire.shut:
            protocol.data_received(piece)
    await asyncio.sleep(0)
    protocol.connection_lost(None)
    while state.tasks:
        await asyncio.gather(*state.tasks)
    assert wire.written.count(b"HTTP/1.1 4") <= 1
    assert not wire.written or wire.written.startswith(b"HTTP/1.1 ")


@cache
def _plain() -> uvicorn.Config:
    config = uvicorn.Config(_app, loop="none", lifespan="off", log_config=None, access_log=False)
    config.load()
    return config


async def _app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers what was asked, whole; asserts what no request may get past the protocol."""
    names = [name for name, _ in scope["headers"]]
    assert names.count(b"host") <= 1
    assert scope["path"].startswith("/")
    assert not (b"content-length" in names and b"transfer-encoding" in names)
    while (message := await receive())["type"] == "http.request" and message.get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"{}"})


# What operators write

_GATEWAY = b"""upstreams: [{name: up, kind: openai, base_url: http://127.0.0.1/v1}]
routes: [{model: m, upstreams: [up], policy: default}]
"""
_DEFAULT = b"name: default\n"


@cache
def _folder() -> Path:
    made = Path(tempfile.mkdtemp(prefix="fuzz-"))
    (made / "policies").mkdir()
    return made


def _loaded(gateway: bytes, default: bytes) -> None:
    folder = _folder()
    (folder / "gateway.yaml").write_bytes(b"policies: policies\n" + gateway)
    (folder / "policies" / "default.yaml").write_bytes(default)
    problems: list[Problem] = []
    try:
        assert load(folder / "gateway.yaml", {"KEY": SECRET}).gateway.routes
    except ConfigError as refused:
        problems = refused.problems or [Problem("", 0, "refused without a reason")]
    assert all(problem.line > 0 and SECRET not in problem.message for problem in problems)


def gateway_file(data: bytes) -> None:
    """A gateway file is read, or refused with lines and without the values of variables."""
    _loaded(data, _DEFAULT)


def policy_file(data: bytes) -> None:
    """A policy is read, or refused with lines."""
    _loaded(_GATEWAY, data)


def expression(data: bytes) -> None:
    """An expression is refused, or matches the same in pieces as RE2 does in the whole."""
    source, _, text = data.decode("utf-8", "ignore").partition("\n")
    text = text[:64]
    try:
        rail = pattern.build(PatternSpec(kind="pattern", deny=(source,)), Tools({}))
    except ConfigError:
        return
    scanner = Scanner(rail.lens.dfa)
    for character in text:
        scanner.feed(character)
    scanner.finish()
    found = rail.lens.matcher.matches(text)
    assert sorted(scanner.matches) == sorted(found)
    assert bool(found) <= bool(rail.judged(text).findings)


TARGETS: dict[str, Target] = {
    target.__name__: target
    for target in (
        events,
        chat_request,
        completions_request,
        embeddings_request,
        moderations_request,
        messages_request,
        responses_request,
        streamed_answer,
        whole_answer,
        upstream_bytes,
        client_bytes,
        gateway_file,
        policy_file,
        expression,
    )
}
