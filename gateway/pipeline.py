"""The path of one exchange: judge the request, ask an upstream, judge the answer, respond, record.

It reads downwards in the order things happen. What a later step needs is on the `Exchange`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from gateway.config.schema import OpenAISpec
from gateway.errors import PolicyBlocked, PolicyUnavailable, RequestError, TidegateError, UpstreamBroken, UpstreamError
from gateway.exchange import Exchange, Timing, Usage
from gateway.policy.policy import Docket, Policy, enforce, judged
from gateway.policy.rail import Subject
from gateway.policy.vault import Vault
from gateway.policy.verdict import applied
from gateway.policy.window import Window
from gateway.routing import Answered, Route, Routes, Target, asked
from gateway.stream import Relay, Tally
from gateway.upstream import Ask, Reply
from gateway.wire import body as json_body
from gateway.wire import chat, envelope
from gateway.wire.usage import Counts

MAX_ANSWER = 64 * 1024 * 1024
"""Bytes an unstreamed answer may have: it is held whole to be judged."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: a key's name, and the policy bound to it if any."""

    name: str = ""
    policy: str | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A request as it came in. `trace` is the W3C trace id, `started` an instant on the pipeline's clock."""

    id: str
    endpoint: str
    raw: bytes
    principal: Principal
    started: float
    trace: str = ""
    headers: tuple[tuple[str, str], ...] = ()


class Client(Protocol):
    """Where the answer goes. `respond` is a whole one; `start`, `write`, `end` are its streamed twin."""

    async def respond(self, status: int, headers: Mapping[str, str], body: bytes) -> None: ...
    async def write(self, chunk: bytes, headers: Mapping[str, str]) -> None: ...
    async def end(self) -> None: ...


class Ledger(Protocol):
    """Where what happened goes: the log, the metrics, the prices, the scorer."""

    def started(self, exchange: Exchange) -> None: ...
    def completed(self, exchange: Exchange) -> None: ...
    def answered(self, exchange: Exchange, target: Target, text: Answer) -> None: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as the scorer needs it: the first choice's text, and what it answers to."""

    text: str
    question: str
    context: Sequence[str]


@dataclass(slots=True)
class Run:
    """One exchange on its way: its record, what its rails said, its placeholders."""

    exchange: Exchange
    policy: Policy
    route: Route
    body: dict[str, Any]
    docket: Docket = field(default_factory=Docket)
    vault: Vault = field(default_factory=Vault)
    question: str = ""
    context: Sequence[str] = ()

    def window(self) -> Window:
        return Window(self.policy.output, self.docket, self.vault, self.question, self.context)


@dataclass(slots=True)
class Pipeline:
    """All that exchanges share. `clock` is monotonic, in seconds."""

    routes: Routes
    policies: Mapping[str, Policy]
    ledger: Ledger
    clock: Callable[[], float]

    async def run(self, call: Call, client: Client) -> None:
        """Answer `call` to `client` and leave its record, however it ends."""
        exchange = Exchange(call.id, call.endpoint, Timing(call.started), call.trace, call.principal.name)
        exchange.received = len(call.raw)
        sent = _Sent(self, exchange, client)
        try:
            await self._answer(call, exchange, sent)
        except TidegateError as error:
            await sent.refuse(error)
        except asyncio.CancelledError:
            exchange.outcome, exchange.error = "cancelled", "client_gone"
            raise
        except Exception as error:  # noqa: BLE001 - the last resort: a fault of ours is a 500 and a record, never a hung client
            exchange.error = type(error).__name__
            await sent.refuse(TidegateError("The gateway failed to handle this request."))
        finally:
            sent.record()

    async def _answer(self, call: Call, exchange: Exchange, sent: _Sent) -> None:
        run = self._admitted(call, exchange)
        sent.run = run
        self.ledger.started(exchange)
        raw = await self._inspected(call.raw, run)
        asks = [(target, _ask(target, raw, run, call)) for target in run.route.targets]
        exchange.timing.sent = self.clock()
        async with asked(asks) as answered:
            self._note_reply(answered, exchange)
            streamed = answered.reply.header("content-type").startswith("text/event-stream")
            if answered.reply.status < 400 and streamed:
                await self._stream(answered, run, sent)
            else:
                await self._whole(answered, run, sent)

    # Judging the request

    def _admitted(self, call: Call, exchange: Exchange) -> Run:
        body = chat.read(call.raw)
        exchange.model, exchange.stream = body["model"], body.get("stream") is True
        route = self.routes.pick(body["model"])
        policy = self.policies[call.principal.policy or route.policy]
        exchange.route, exchange.policy, exchange.digest = route.model, policy.name, policy.digest
        run = Run(exchange, policy, route, body)
        run.question = chat.question(body)
        run.context = chat.context(body, frozenset(policy.spec.context))
        return run

    async def _inspected(self, raw: bytes, run: Run) -> bytes:
        """The request's bytes as they may be sent: untouched, or with what the rails rewrote."""
        passages = chat.prompts(run.body)
        size = sum(len(p.text.encode()) for p in passages)
        run.exchange.scannable += size
        for passage in passages:
            run.vault.reserve(passage.text)
        subject = Subject(passages, run.question, run.context, run.vault)
        began = self.clock()
        verdicts = await judged(run.policy.input, "input", subject, run.docket, self.clock)
        run.exchange.timing.input_rails = self.clock() - began
        run.exchange.scanned += size
        enforce(verdicts, run.policy.spec.refusal)
        texts = [(p.path, applied(p.text, v.edits)) for p, v in zip(passages, verdicts, strict=True) if v.edits]
        if not texts:
            return raw
        run.body = json_body.rewritten(run.body, texts)
        return orjson.dumps(run.body)

    # Reading the answer

    def _note_reply(self, answered: Answered, exchange: Exchange) -> None:
        exchange.tried = list(answered.tried)
        exchange.upstream = answered.target.upstream.name
        exchange.timing.connected = self.clock()
        exchange.timing.upstream += exchange.timing.connected - (exchange.timing.sent or exchange.timing.connected)
        exchange.status = answered.reply.status

    async def _whole(self, answered: Answered, run: Run, sent: _Sent) -> None:
        raw = await self._read(answered.reply, run.exchange)
        body = _answer_object(raw, answered.reply)
        window = run.window()
        spans = []
        for key, passage in chat.answers(body):
            size = len(passage.text.encode())
            run.exchange.scannable += size
            run.exchange.scanned += size
            spans.append((passage.path, *window.feed(key, key[0], passage)))
        window.finish()
        verdict, _ = await asyncio.gather(window.judge(), window.watch())
        enforce([verdict], run.policy.spec.refusal)
        texts = [(path, ch.delivered(a, b)) for path, ch, a, b in spans if ch.touched(a, b)]
        if texts:
            raw = orjson.dumps(chat.without_logprobs(json_body.rewritten(body, texts)))
        self._note_answer(run, answered.target, chat.usage(body), _first_text(spans))
        run.exchange.answered = str(body.get("model", ""))
        run.exchange.finish = chat.finish_reason(body)
        await sent.whole(answered.reply, raw)

    async def _read(self, reply: Reply, exchange: Exchange) -> bytes:
        began, size, parts = self.clock(), 0, []
        async with aclosing(reply.chunks) as chunks:
            async for chunk in chunks:
                size += len(chunk)
                parts.append(chunk)
                if size > MAX_ANSWER:
                    raise UpstreamBroken(f"The upstream's answer is larger than {MAX_ANSWER} bytes.")
        exchange.timing.upstream += self.clock() - began
        return b"".join(parts)

    async def _stream(self, answered: Answered, run: Run, sent: _Sent) -> None:
        tally = Tally(self.clock)
        hide = not chat.asks_usage(run.body)
        relay = Relay(run.window(), tally, run.exchange, run.policy.spec.refusal, hide)
        sent.tally = tally
        try:
            async with aclosing(relay.relayed(answered.reply.chunks)) as out:
                async for chunk in out:
                    await sent.chunk(answered.reply, chunk)
        finally:
            run.exchange.timing.upstream += relay.waited
            run.exchange.timing.gaps = tally.gaps
            run.exchange.timing.last_token = tally.last
            run.exchange.answered, run.exchange.finish = tally.model, tally.finish
            self._note_answer(run, answered.target, tally.counts, relay.text())
        await sent.end()

    def _note_answer(self, run: Run, target: Target, counts: Counts | None, text: str) -> None:
        run.exchange.usage = _usage(counts, run, text)
        self.ledger.answered(run.exchange, target, Answer(text, run.question, run.context))


@dataclass(slots=True)
class _Sent:
    """What the client has been told so far, and the record kept of it."""

    pipeline: Pipeline
    exchange: Exchange
    client: Client
    run: Run | None = None
    tally: Tally | None = None
    begun: bool = False
    recorded: bool = False

    def headers(self) -> dict[str, str]:
        """Of every answer. What the rails have said up to now; overhead is all time not spent on the upstream."""
        now = self.pipeline.clock()
        spent = (now - self.exchange.timing.started - self.exchange.timing.upstream) * 1000
        return {
            "x-request-id": self.exchange.id,
            "x-tidegate-verdict": self.run.docket.verdict() if self.run else "allow",
            "x-tidegate-overhead-ms": f"{max(spent, 0):.2f}",
        }

    async def whole(self, reply: Reply, raw: bytes) -> None:
        self.exchange.timing.first_token = self.pipeline.clock()
        await self._respond(reply.status, {**_passed_on(reply), **self.headers()}, raw)

    async def chunk(self, reply: Reply, chunk: bytes) -> None:
        headers = {} if self.begun else {**_passed_on(reply), "cache-control": "no-cache", **self.headers()}
        if self.tally and self.tally.first is not None and self.exchange.timing.first_token is None:
            self.exchange.timing.first_token = self.pipeline.clock()
        self.begun = True
        self.exchange.sent += len(chunk)
        await self.client.write(chunk, headers)

    async def end(self) -> None:
        self.record()
        await self.client.end()

    async def refuse(self, error: TidegateError) -> None:
        """End with `error`: as OpenAI's envelope if nothing was sent yet, else as the stream's last events."""
        self.exchange.error = self.exchange.error or error.code or type(error).__name__
        self.exchange.outcome = _outcome(error)
        if not self.begun:
            headers = {"content-type": "application/json", **envelope.headers(error), **self.headers()}
            await self._respond(error.status, headers, envelope.body(error))
            return
        last = chat.refusal(self.tally.newest if self.tally else None, envelope.error(error))
        self.exchange.sent += len(last)
        await self.client.write(last, {})
        await self.end()

    async def _respond(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.exchange.status = status
        self.exchange.sent += len(body)
        self.record()
        await self.client.respond(status, headers, body)

    def record(self) -> None:
        """Write the outcome, once, before the client has the answer's last byte."""
        if self.recorded:
            return
        self.recorded = True
        exchange = self.exchange
        exchange.timing.finished = self.pipeline.clock()
        if self.run:
            exchange.judgements = self.run.docket.judgements()
            exchange.verdict = self.run.docket.verdict()
            exchange.timing.output_rails = sum(j.seconds for j in exchange.judgements if j.stage == "output")
        self.pipeline.ledger.completed(exchange)


def _ask(target: Target, raw: bytes, run: Run, call: Call) -> Ask:
    """The request as `target` gets it: its own name of the model, and usage asked for where streams hide it."""
    spec, body = target.spec, run.body
    model = spec.model if spec.kind == "openai" else None
    if model is not None and model != body["model"]:
        raw = json_body.spliced(raw, body, "model", model)
    ask_usage = not isinstance(spec, OpenAISpec) or spec.stream_usage == "ask"
    if run.exchange.stream and ask_usage and not chat.asks_usage(body):
        raw = chat.with_usage(raw, body)
    return Ask(chat.ENDPOINT, raw, run.exchange.stream, call.headers)


def _answer_object(raw: bytes, reply: Reply) -> dict[str, Any]:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        raise UpstreamError(f"The upstream answered {reply.status} with something that is not a JSON object.")
    if reply.status in {401, 403}:
        raise UpstreamError(f"The upstream refused the gateway's credentials ({reply.status}).")
    return body


def _first_text(spans: Sequence[tuple[Any, Any, int, int]]) -> str:
    """The first choice's content, unedited: what the model said is what is scored."""
    wanted = (ch.slice(a, b) for path, ch, a, b in spans if path[-2:] == ("message", "content"))
    return next(wanted, "")


def _usage(counts: Counts | None, run: Run, text: str) -> Usage:
    if counts:
        return Usage(*counts)
    if run.exchange.status >= 400:
        return Usage()
    spoken = sum(len(p.text) for p in chat.prompts(run.body))
    return Usage(input=_tokens(spoken), output=_tokens(len(text)), estimated=True)


def _tokens(characters: int) -> int:
    """About four characters make a token of English, OpenAI says; better than nothing, and marked as such."""
    return -(-characters // 4)


_FORWARDED = ("content-type", "retry-after", "openai-processing-ms", "openai-version")


def _passed_on(reply: Reply) -> dict[str, str]:
    """The upstream's headers that mean something to a client. Its cookies, limits and server names do not."""
    return {k.lower(): v for k, v in reply.headers if k.lower() in _FORWARDED}


def _outcome(error: TidegateError) -> Any:
    match error:
        case PolicyBlocked():
            return "blocked"
        case PolicyUnavailable():
            return "unavailable"
        case RequestError():
            return "rejected"
        case _:
            return "failed"
