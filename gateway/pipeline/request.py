"""A request as an upstream gets it, and as the routes are asked for somebody who answers it."""

from __future__ import annotations

from collections.abc import Callable

from gateway.config.schema import OpenAISpec
from gateway.pipeline.run import Call, Run
from gateway.routing import Errand, Target
from gateway.upstream import Ask
from gateway.wire import body as json_body
from gateway.wire import chat


def ask(target: Target, raw: bytes, run: Run, call: Call) -> Ask:
    """With the upstream's own name of the model, and usage asked for where streams hide it."""
    spec, body = target.spec, run.body
    run.target = target
    own = spec.model if spec.kind == "openai" else None
    if (model := own or run.route.name(body["model"])) != body["model"]:
        raw = json_body.spliced(raw, body, "model", model)
    asks_usage = not isinstance(spec, OpenAISpec) or spec.stream_usage == "ask"
    run.asked_usage = run.exchange.stream and asks_usage and not chat.asks_usage(body)
    if run.asked_usage:
        raw = chat.with_usage(raw, body)
    return Ask(call.codec.endpoint, raw, run.exchange.stream, call.headers)


def errand(asks: Callable[[Target], Ask], run: Run, call: Call) -> Errand:
    exchange, body = run.exchange, run.body

    def opening(characters: int) -> str:
        """What begins alike where a prefix cache helps; `prompt_cache_key` is OpenAI's own word for it."""
        if isinstance(own := body.get("prompt_cache_key"), str) and own:
            return own
        return "\n".join([passage.text[:characters] for passage in call.codec.prompts(body)])[:characters]

    return Errand(call.codec.endpoint, asks, exchange.tried, body["model"], call.principal.name, opening)
