"""The path of one exchange: judge the request, ask an upstream, judge the answer, respond, record.

It reads downwards in the order things happen. What a later step needs is on the `Run` and its `Exchange`.

    run         the call that began an exchange, how it stands, and whom it is told to
    response    what the client was told so far, and the record
    need        what a key must be allowed for an exchange to begin
    overlap     rails that judge a request while it is sent already
    request     a request as an upstream gets it
    mirror      shadow traffic, beside the path
    keeping     answers that were given before
    moderation  texts judged for whoever asks
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

from gateway.cache.entry import Answers, Entry
from gateway.config.policy import Refusal
from gateway.errors import NotSupported, TidegateError, UpstreamBroken, UpstreamError
from gateway.exchange import Exchange, Timing
from gateway.limits.gate import Gate
from gateway.pipeline import keeping, moderation, overlap, request
from gateway.pipeline.capture import Capture, Mode
from gateway.pipeline.mirror import Mirrors
from gateway.pipeline.need import needed, permitted
from gateway.pipeline.response import Response
from gateway.pipeline.run import Call, Client, Ledger, Run
from gateway.policy.memory import Memory
from gateway.policy.policy import Bench, Policy, enforce, refused
from gateway.policy.rail import Subject
from gateway.policy.verdict import ALLOW, Action, Verdict, applied
from gateway.routing import Answered, Asked, Route, Routes, Target
from gateway.routing.group import Group
from gateway.stream import Relay, Tally, drained
from gateway.upstream import Reply
from gateway.wire import body as json_body
from gateway.wire import chat, envelope
from gateway.wire.codec import CHAT, MODERATIONS
from gateway.wire.passage import Passage, Path

MAX_ANSWER = 64 * 1024 * 1024
"""Bytes an unstreamed answer may have: it is held whole to be judged."""

_SYSTEM = frozenset({"system"})
_LOG = logging.getLogger("tidegate")


@dataclass(slots=True)
class Pipeline:
    """All that exchanges share. `clock` is monotonic, in seconds."""

    routes: Routes
    policies: Mapping[str, Policy]
    ledger: Ledger
    clock: Callable[[], float]
    capture: Mode = "none"  # which texts of an exchange its record keeps
    memory: Memory | None = None  # without one every text is judged anew
    gate: Gate | None = None  # where keys have limits
    mirrors: Mirrors | None = None  # where routes are mirrored
    answers: Answers | None = None  # where routes keep what they answered
    scored: bool = True  # whether answers are scored beside the path, for which their question and evidence are read

    async def run(self, call: Call, client: Client) -> None:
        """Answer `call` to `client` and leave its record, however it ends."""
        exchange = Exchange(call.id, call.endpoint, Timing(call.started), call.trace, call.principal.name)
        exchange.received, exchange.parent = len(call.raw), call.parent
        sent = Response(exchange, client, self.ledger, self.clock, call.twin, outlet=call.outlet)
        walk = self._moderated if call.codec is MODERATIONS else self._answer
        try:
            await walk(call, exchange, sent)
        except TidegateError as error:
            await sent.refuse(error)
        except asyncio.CancelledError:
            exchange.outcome, exchange.error = "cancelled", "client_gone"
            raise
        except Exception as error:  # noqa: BLE001 - the last resort: a fault of ours is a 500 and a record, never a hung client
            exchange.error = type(error).__name__
            _LOG.error("an exchange failed", exc_info=error)  # its type and places; `observe.stderr` prints no values
            await sent.refuse(TidegateError("The gateway failed to handle this request."))
        finally:
            sent.record()

    async def _answer(self, call: Call, exchange: Exchange, sent: Response) -> None:
        body = call.codec.read(call.raw)
        route = self.routes.pick(body["model"])
        group = permitted(call, route).group(call.principal.name)
        targets = [member.target for member in group.able(call.codec.endpoint)]
        run = sent.run = self._admitted(call, exchange, body, route)
        exchange.model, exchange.arm = body["model"], group.name
        await self._reserved(call, run, targets)
        run.kept = keeping.of(self.answers, call, run)
        self.ledger.started(exchange)
        subject, bench = _subject(run), run.bench("input")
        first, later = overlap.split(bench) if run.policy.spec.overlap else (bench, None)
        if later is None or not later.bounds:
            raw = _rewritten(call.raw, run, subject, await self._judged(run, subject, bench))
            await self._asked(call, raw, group, sent)
            return
        exchange.overlap = True
        said = await self._judged(run, subject, first, last=False)
        raw = _rewritten(call.raw, run, subject, said)
        async with overlap.beside(self._judged_late(run, subject, later, said)) as run.verdict:
            await self._asked(call, raw, group, sent)

    # Judging the request

    def _admitted(self, call: Call, exchange: Exchange, body: dict[str, Any], route: Route) -> Run:
        codec = call.codec
        exchange.stream = codec.streams and body.get("stream") is True
        policy = self.policies[call.principal.policy or route.policy]
        exchange.model = exchange.route = route.model
        exchange.policy, exchange.digest = policy.name, policy.digest
        run = Run(exchange, policy, route, body, Tally(self.clock, codec), capture=Capture(self.capture))
        judged = bool(policy.input or policy.output)
        if judged or self.scored:
            run.question = codec.question(body)
            run.context = codec.context(body, frozenset(policy.spec.context))
        if judged:
            run.system = codec.context(body, _SYSTEM)
            run.reader = self.memory.reader(call.principal.name) if self.memory is not None else None
        return run

    async def _reserved(self, call: Call, run: Run, targets: Sequence[Target]) -> None:
        """Take what the exchange may come to from what the key may use. Raises `TooManyRequests`."""
        if (account := call.principal.account) and self.gate:
            run.lease = await self.gate.admit(account, call.id, needed(call, run, targets, self.ledger))
            run.lease.enforce()

    async def _judged(
        self, run: Run, subject: Subject, bench: Bench, said: Sequence[Verdict] = (), *, last: bool = True
    ) -> list[Verdict]:
        """What the rails of `bench` say, after what others `said`. Raises `PolicyBlocked` or `PolicyUnavailable`."""
        exchange = run.exchange
        if not run.policy.input:
            exchange.timing.input_rails = 0.0
            exchange.scanned += run.bytes
            verdicts = [ALLOW] * len(subject.passages)
            run.capture.request(subject.passages, verdicts)
            return verdicts
        began = self.clock()
        verdicts = await bench.judged(subject)
        exchange.timing.input_rails = (exchange.timing.input_rails or 0.0) + self.clock() - began
        all_ = [a | b for a, b in zip(said, verdicts, strict=True)] if said else verdicts
        if last or any(verdict.action is Action.BLOCK for verdict in all_):
            exchange.scanned += run.bytes
            run.capture.request(subject.passages, all_)
        _enforce_all(subject.passages, all_, run.policy.spec.refusal)
        return verdicts

    async def _judged_late(self, run: Run, subject: Subject, bench: Bench, said: Sequence[Verdict]) -> None:
        """Judge what was sent already: nothing can be taken out of it any more."""
        if any(verdict.edits for verdict in await self._judged(run, subject, bench, said)):
            message = "A content policy would rewrite the request, which was sent already."
            raise refused(run.policy.spec.refusal, message)

    async def _moderated(self, call: Call, exchange: Exchange, sent: Response) -> None:
        body = call.codec.read(call.raw)
        route = moderation.chosen(body, call.principal, self.routes, self.policies)
        run = sent.run = self._admitted(call, exchange, body, permitted(call, route))
        await self._reserved(call, run, ())
        self.ledger.started(exchange)
        subject = _subject(run)
        began = self.clock()
        said = await moderation.opinions(run, subject)
        exchange.timing.input_rails = self.clock() - began
        exchange.scanned = run.bytes
        run.capture.request(subject.passages, [ALLOW] * len(subject.passages))
        await sent.own(moderation.answer(run, said, len(subject.passages)))

    # Asking

    async def _asked(self, call: Call, raw: bytes, group: Group, sent: Response) -> None:
        run, exchange = cast("Run", sent.run), sent.exchange
        if run.kept and (kept := await run.kept.found()):
            await self._again(kept, sent)
            return
        exchange.timing.sent = self.clock()
        if self.mirrors is not None and run.route.mirror is not None:
            self.mirrors.offer(call, run, raw)
        errand = request.errand(lambda target: request.ask(target, raw, run, call), run, call)
        async with Asked(group, errand) as answered:
            exchange.timing.queued = errand.queued
            self._note_reply(answered, run)
            if _streamed(answered.reply, exchange):
                await self._stream(answered.reply, run, sent)
            else:
                await self._whole(answered.reply, run, sent)

    async def _again(self, kept: Entry, sent: Response) -> None:
        """Answer as somebody was answered before. It was judged then, by the same policy."""
        sent.exchange.cached, reply = True, keeping.reply(kept)
        if not kept.kind.startswith("text/event-stream"):
            await sent.whole(reply, b"".join(kept.chunks))
            return
        for chunk in kept.chunks[:-1]:
            await sent.chunk(reply, chunk)
        await sent.last(reply, kept.chunks[-1])
        await sent.client.end()

    # Reading the answer

    def _note_reply(self, answered: Answered, run: Run) -> None:
        timing = run.exchange.timing
        timing.connected = self.clock()
        timing.upstream += timing.connected - (timing.sent or timing.connected)
        run.exchange.upstream = answered.target.upstream.name
        run.exchange.status = run.status = answered.reply.status

    async def _whole(self, reply: Reply, run: Run, sent: Response) -> None:
        raw = await self._read(reply, run.exchange)
        raw, body = _object(raw, reply.status)
        if run.codec is not CHAT and _lacking(reply.status, body):
            raise NotSupported(f"The upstream of this model does not answer /v1{run.codec.endpoint}.", param="model")
        try:
            texts = run.codec.deltas(body)
        except json_body.Unreadable as error:
            raise UpstreamBroken(f"The upstream's answer cannot be read: {error}.") from None
        run.tally.note(body, texts)
        if run.tally.failed or reply.status >= 400:
            run.exchange.outcome, run.exchange.error = "failed", "upstream_error"
        size = sum([len(text.text.encode("utf-8", "surrogatepass")) for text in texts])
        run.exchange.scannable += size
        if run.policy.output or not run.vault.empty:
            changed = await self._settled(run, texts)
            if changed:
                raw = json_body.encoded(chat.without_logprobs(json_body.rewritten(body, changed)))
        else:
            run.capture.came(texts, judged=False)
        run.exchange.scanned += size
        await sent.whole(reply, raw)
        if run.kept:
            run.kept.came(raw)
            await run.kept.keep(run, reply)

    async def _settled(self, run: Run, texts: Sequence[chat.Delta]) -> list[tuple[Path, str]]:
        """What the rails, or values that are given back, change of a whole answer. Raises as `enforce`."""
        window = run.window(whole=True)
        spans = [(text.path, window.feed(text.key, text)) for text in texts]
        window.finish()
        run.capture.came(texts, judged=True)
        enforce(await window.settle(), run.policy.spec.refusal)
        run.capture.left([span for _, span in spans], window.channels)
        return [(path, span.delivered()) for path, span in spans if span.touched]

    async def _read(self, reply: Reply, exchange: Exchange) -> bytes:
        began, size, parts = self.clock(), 0, []
        try:
            async with aclosing(reply.chunks) as chunks:
                async for chunk in chunks:
                    size += len(chunk)
                    parts.append(chunk)
                    if size > MAX_ANSWER:
                        raise UpstreamBroken(f"The upstream's answer is larger than {MAX_ANSWER} bytes.")
        finally:
            exchange.timing.upstream += self.clock() - began
        return b"".join(parts)

    async def _stream(self, reply: Reply, run: Run, sent: Response) -> None:
        relay = Relay(run.window(), run.tally, run.exchange, run.policy.spec.refusal, run.asked_usage)
        sent.relay, relay.outlet = relay, sent
        relay.keeper = run.capture if self.capture != "none" else None
        async with aclosing(reply.chunks) as chunks, aclosing(relay.relayed(chunks)) as told:
            async for chunk in told:
                await sent.chunk(reply, chunk)
                if run.kept:
                    run.kept.came(chunk)
            if run.tally.failed:
                run.exchange.outcome, run.exchange.error = "failed", "upstream_error"
            await sent.last(reply, relay.last)
            await drained(chunks)
        await sent.client.end()
        if run.kept:
            run.kept.came(relay.last)
            await run.kept.keep(run, reply)


def _subject(run: Run) -> Subject:
    """The request's texts, counted; what looks like a placeholder in them will never be one of ours."""
    passages = run.codec.prompts(run.body)
    run.bytes = sum([len(p.text.encode()) for p in passages])
    run.exchange.scannable += run.bytes
    run.characters = sum([len(p.text) for p in passages])
    if run.policy.input:  # else nobody gives out placeholders
        for passage in passages:
            run.vault.reserve(passage.text)
    return Subject(passages, run.question, run.context, run.vault)


def _rewritten(raw: bytes, run: Run, subject: Subject, verdicts: Sequence[Verdict]) -> bytes:
    """The request's bytes as they may be sent: untouched, or with what the rails rewrote."""
    pairs = zip(subject.passages, verdicts, strict=True)
    texts = [(passage.path, applied(passage.text, verdict.edits)) for passage, verdict in pairs if verdict.edits]
    if not texts:
        return raw
    run.body = json_body.rewritten(run.body, texts)
    return json_body.encoded(run.body)


def _enforce_all(passages: Sequence[Passage], verdicts: Sequence[Verdict], refusal: Refusal) -> None:
    joined = ALLOW
    for passage, verdict in zip(passages, verdicts, strict=True):
        if verdict.edits and not passage.path:
            raise refused(refusal, "A content policy would rewrite the name of a field; rename it.")
        joined |= verdict
    enforce(joined, refusal)


def _streamed(reply: Reply, exchange: Exchange) -> bool:
    """Whether the answer is a stream. Raises `UpstreamError` for what is no answer at all."""
    if reply.status in {401, 403}:
        raise UpstreamError(f"The upstream refused the gateway's credentials ({reply.status}).")
    if not (200 <= reply.status < 300 or 400 <= reply.status < 600):
        raise UpstreamBroken(f"The upstream answered {reply.status}, which is no answer.")
    streamed = reply.status < 400 and reply.header("content-type").lower().startswith("text/event-stream")
    if streamed and not exchange.stream:
        raise UpstreamBroken("The upstream streams an answer that was not asked to be streamed.")
    return streamed


def _object(raw: bytes, status: int) -> tuple[bytes, dict[str, Any]]:
    """The JSON object in `raw`. An error that is told otherwise, in HTML or not at all, is put in the envelope."""
    try:
        return raw, json_body.answer(raw)
    except json_body.Unreadable as error:
        if status < 400:
            raise UpstreamBroken(f"The upstream's answer cannot be read: {error}.") from None
        own = envelope.body(UpstreamError(f"The upstream answered {status}."))
        return own, json_body.answer(own)


def _lacking(status: int, body: dict[str, Any]) -> bool:
    """Whether an upstream says that it has no such endpoint, rather than no such model.

    Web frameworks say `{"detail": "Not Found"}` or nothing that is JSON, llama.cpp `not_found_error` or 501.
    """
    error = body.get("error")
    named = isinstance(error, dict) and error.get("type") not in {"not_found_error", UpstreamError.kind}
    return status in {405, 501} or (status == 404 and not named and "message" not in body)
