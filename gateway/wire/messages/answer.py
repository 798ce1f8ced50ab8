"""A whole chat answer as Anthropic's message, and an error as its envelope."""

from __future__ import annotations

from typing import Any

from gateway.errors import TidegateError, UpstreamBroken
from gateway.wire import body as json_body
from gateway.wire import chat
from gateway.wire.blocks import Block, arguments, first, whole

Object = dict[str, Any]

_STOPS = {"length": "max_tokens", "tool_calls": "tool_use", "function_call": "tool_use", "content_filter": "refusal"}


def from_chat(answer: Object, asked: Object) -> Object:
    """The message that says what a chat `answer` says in its first choice; `asked` is the request as it came.

    An unfinished call of an answer that ran out of tokens is left out: there is no half of an `input`. Raises
    `UpstreamBroken` (502) for a finished call whose arguments are no object.
    """
    choice, blocks = first(answer), whole(answer)
    content = [told for block in blocks if (told := _told(block, choice.get("finish_reason")))]
    return opening(answer, asked) | {"content": content, **stop(choice, blocks), "usage": usage(answer.get("usage"))}


def opening(body: Object, asked: Object) -> Object:
    """A message of which nothing was said yet. `body` is an answer or a chunk."""
    return {
        "id": ident(body),
        "type": "message",
        "role": "assistant",
        "model": chat.model(body) or asked["model"],
        "content": [],
        **stopped(None),
        "usage": usage(None),
    }


def ident(body: Object) -> str:
    """The answer's own id in Anthropic's spelling."""
    given = body.get("id")
    return "msg_" + (given.removeprefix("chatcmpl-") if isinstance(given, str) else "")


def _told(block: Block, finish: Any) -> Object | None:
    if block.kind != "call":
        key = "thinking" if block.kind == "reasoning" else "text"
        return begun(block) | {key: block.text}
    given = arguments(block.text or "{}")
    if given is None and finish != "length":
        raise UpstreamBroken("The model called a tool with arguments that are not a JSON object.")
    return None if given is None else begun(block) | {"input": given}


def begun(block: Block) -> Object:
    """The block before anything of it was said. What a chat model thinks carries no signature."""
    match block.kind:
        case "reasoning":
            return {"type": "thinking", "thinking": "", "signature": ""}
        case "call":
            return {"type": "tool_use", "id": block.id or f"call_{block.index}", "name": block.name, "input": {}}
        case _:
            return {"type": "text", "text": ""}


def stop(choice: Object, blocks: list[Block]) -> Object:
    """Why the answer ended. Servers that say `stop` after calls mean them; vLLM tells which sequence stopped it."""
    finish, sequence = choice.get("finish_reason"), choice.get("stop_reason")
    reason = _STOPS.get(finish) if isinstance(finish, str) else None
    if reason is None and finish is not None:
        kinds = {block.kind for block in blocks}
        reason = "refusal" if "refusal" in kinds else "tool_use" if "call" in kinds else "end_turn"
    if reason == "end_turn" and isinstance(sequence, str) and sequence:
        return stopped("stop_sequence", sequence)
    return stopped(reason)


def stopped(reason: str | None, sequence: str | None = None, said: str | None = None) -> Object:
    """The fields that say why a message ended; `said` is what a policy says of its refusal."""
    details = None if said is None else {"type": "refusal", "category": None, "explanation": said}
    return {"stop_reason": reason, "stop_sequence": sequence, "stop_details": details}


def usage(spent: Any) -> Object:
    """Tokens as Anthropic counts them: those read from a cache are not in `input_tokens`. Nought where nobody told."""
    counts = chat.usage({"usage": spent})
    if counts is None:
        return {"input_tokens": 0, "output_tokens": 0}
    written = counts.written + counts.written_hour
    told: Object = {"input_tokens": max(0, counts.input - counts.cached - written), "output_tokens": counts.output}
    told["cache_creation_input_tokens"] = written
    told["cache_read_input_tokens"] = counts.cached
    told |= {"output_tokens_details": {"thinking_tokens": counts.reasoning}} if counts.reasoning else {}
    return told


def envelope(error: TidegateError, request_id: str) -> bytes:
    """Anthropic's error: `{"type": "error", "error": {"type", "message"}, "request_id"}`."""
    return json_body.encoded({**fault(error), "request_id": request_id})


def fault(error: TidegateError) -> Object:
    return {"type": "error", "error": {"type": _kind(error.status), "message": error.message}}


_KINDS = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def _kind(status: int) -> str:
    """Anthropic's word for a status. 501 says what the client should not have asked. Source: its API reference."""
    client = status < 500 or status == 501
    return _KINDS.get(status, "invalid_request_error" if client else "api_error")
