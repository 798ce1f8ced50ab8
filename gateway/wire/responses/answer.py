"""A whole chat answer as OpenAI's response object, and the object while it grows."""

from __future__ import annotations

from typing import Any

from gateway.errors import TidegateError
from gateway.wire import chat
from gateway.wire.blocks import Block, first, whole

Object = dict[str, Any]

_PREFIXES = {"reasoning": "rs", "text": "msg", "refusal": "msg", "call": "fc"}
_SHORT = {"length": "max_output_tokens", "content_filter": "content_filter"}

# What was asked and goes back as it came, with what holds where nothing was asked.
_ECHOED: Object = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "prompt_cache_key": None,
    "reasoning": None,
    "safety_identifier": None,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}


def from_chat(answer: Object, asked: Object) -> Object:
    """The response that says what a chat `answer` says in its first choice; `asked` is the request as it came."""
    finish = first(answer).get("finish_reason")
    return ended(opening(answer, asked), whole(answer), finish, answer.get("usage"))


def opening(body: Object, asked: Object) -> Object:
    """A response of which nothing was said yet. `body` is an answer or a chunk. Nothing is stored, and it says so."""
    created, tier = body.get("created"), body.get("service_tier")
    return {
        "id": f"resp_{_suffix(body)}",
        "object": "response",
        "created_at": created if type(created) is int else 0,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "model": chat.model(body) or asked["model"],
        "output": [],
        "previous_response_id": None,
        "service_tier": tier if tier in _TIERS else None,
        "store": False,
        "tools": [_tool(tool) for tool in asked.get("tools") or ()],
        "usage": None,
        **{key: default if asked.get(key) is None else asked[key] for key, default in _ECHOED.items()},
    }


_TIERS = ("auto", "default", "flex", "scale", "priority", "fast")


def _suffix(body: Object) -> str:
    given = body.get("id")
    return given.removeprefix("chatcmpl-") if isinstance(given, str) else ""


def _tool(tool: Object) -> Object:
    return {"parameters": None, "strict": None, "description": None, **tool}


def ended(response: Object, blocks: list[Block], finish: Any, spent: Any) -> Object:
    """`response` with all that was said, and how it ended: what ran out of tokens or was filtered is incomplete."""
    reason = short(finish)
    return {
        **response,
        "status": "incomplete" if reason else "completed",
        "incomplete_details": {"reason": reason} if reason else None,
        "output": [item(response, block, status(block, finish)) for block in blocks],
        "usage": usage(spent),
    }


def failed(response: Object, blocks: list[Block], error: TidegateError, spent: Any) -> Object:
    """`response` as it ends where `error` cut it. The API has few words for errors; the message says more."""
    code = "rate_limit_exceeded" if error.status == 429 else "server_error"
    said = [item(response, block, "incomplete" if block.last else "completed") for block in blocks]
    told = {"status": "failed", "error": {"code": code, "message": error.message}, "output": said}
    return {**response, **told, "usage": usage(spent)}


def short(finish: Any) -> str | None:
    return _SHORT.get(finish) if isinstance(finish, str) else None


def status(block: Block, finish: Any) -> str:
    """An answer that was cut was cut in its last item."""
    return "incomplete" if block.last and short(finish) else "completed"


def ident(response: Object, block: Block) -> str:
    return f"{_PREFIXES[block.kind]}_{response['id'].removeprefix('resp_')}_{block.index}"


def item(response: Object, block: Block, state: str) -> Object:
    """The output item that `block` is, with what was said of it so far."""
    return begun(response, block) | {"status": state} | _inside(block)


def begun(response: Object, block: Block) -> Object:
    """The item before anything of it was said."""
    told: Object = {"id": ident(response, block), "status": "in_progress"}
    match block.kind:
        case "reasoning":
            return {"type": "reasoning", **told, "summary": [], "content": []}
        case "call":
            call = block.id or f"call_{block.index}"
            return {"type": "function_call", **told, "call_id": call, "name": block.name, "arguments": ""}
        case _:
            return {"type": "message", **told, "role": "assistant", "content": []}


def _inside(block: Block) -> Object:
    return {"arguments": block.text} if block.kind == "call" else {"content": [part(block, block.text)]}


def part(block: Block, text: str) -> Object:
    """The only part of an item that has parts."""
    match block.kind:
        case "reasoning":
            return {"type": "reasoning_text", "text": text}
        case "refusal":
            return {"type": "refusal", "refusal": text}
        case _:
            return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def usage(spent: Any) -> Object | None:
    """Tokens as the response counts them: the same numbers under other names. None where nobody told."""
    counts = chat.usage({"usage": spent})
    if counts is None:
        return None
    written = counts.written + counts.written_hour
    return {
        "input_tokens": counts.input,
        "input_tokens_details": {"cached_tokens": counts.cached, "cache_write_tokens": written},
        "output_tokens": counts.output,
        "output_tokens_details": {"reasoning_tokens": counts.reasoning},
        "total_tokens": counts.input + counts.output,
    }
