"""A request to `/v1/responses` as the chat request that asks the same."""

from __future__ import annotations

from typing import Any

from gateway.errors import RequestError
from gateway.wire import body as json_body
from gateway.wire.fields import Fields
from gateway.wire.responses.items import messages

ENDPOINT = "/responses"

_SAME = ("user", "safety_identifier", "service_tier", "prompt_cache_key", "prompt_cache_retention")
_UNKEPT = "nothing is stored or run in the background here"
_CHOICES = ("none", "auto", "required")


def read(raw: bytes) -> dict[str, Any]:
    """The object that `raw` spells, with a model; `to_chat` reads the rest. Raises `RequestError` (400)."""
    body = json_body.read(raw)
    Fields(body).model()
    return body


def to_chat(body: dict[str, Any]) -> dict[str, Any]:
    """The chat request that asks what `body` asks.

    Raises `RequestError` (400), also for what would have to be stored, `Unprocessable` (422) for fields that OpenAI's
    API does not have, and `NotSupported` (501) for those that the chat API does not have; each names the field.
    """
    fields = Fields(body)
    _refuse(fields)
    chat: dict[str, Any] = {"model": fields.text("model"), "messages": [*_instructions(fields), *_input(fields)]}
    chat |= _sampling(fields) | _tools(fields) | _text(fields) | _reasoning(fields) | _streaming(fields)
    chat |= {key: fields.text(key) for key in _SAME} | {"prompt_cache_options": fields.table("prompt_cache_options")}
    fields.table("metadata")  # a label on what is stored: it goes back to the client and no further
    fields.close()
    return {key: value for key, value in chat.items() if value is not None}


def _instructions(fields: Fields) -> list[dict[str, Any]]:
    said = fields.text("instructions")
    return [{"role": "system", "content": said}] if said else []


def _input(fields: Fields) -> list[dict[str, Any]]:
    given = fields.need("input", fields.take("input"))
    found = messages(given, "input")
    if not found:
        raise RequestError("'input' is empty; send a text or at least one item.", param="input")
    return found


def _sampling(fields: Fields) -> dict[str, Any]:
    """OpenAI's newer models know `max_completion_tokens` alone; it counts reasoning, as `max_output_tokens` does."""
    return {
        "max_completion_tokens": fields.count("max_output_tokens"),
        "temperature": fields.number("temperature"),
        "top_p": fields.number("top_p"),
        "parallel_tool_calls": fields.switch("parallel_tool_calls"),
    }


def _tools(fields: Fields) -> dict[str, Any]:
    tools = [_tool(Fields(tool, f"tools[{at}]")) for at, tool in enumerate(fields.array("tools") or ())]
    choice = fields.take("tool_choice")
    return {"tools": tools or None, "tool_choice": choice if choice in _CHOICES else _named(choice)}


def _tool(tool: Fields) -> dict[str, Any]:
    tool.need("type", tool.only("type", "function", why="only functions that the client runs itself are"))
    function = {
        "name": tool.need("name", tool.text("name")),
        "description": tool.text("description"),
        "parameters": tool.table("parameters"),
        "strict": tool.switch("strict"),
    }
    tool.only("defer_loading", False)
    tool.only("allowed_callers", ["direct"])
    tool.only("output_schema")
    tool.close()
    return {"type": "function", "function": {key: value for key, value in function.items() if value is not None}}


def _named(choice: Any) -> dict[str, Any] | None:
    if choice is None:
        return None
    if isinstance(choice, str):
        raise RequestError(f"'tool_choice' must be one of {', '.join(_CHOICES)}, or an object.", param="tool_choice")
    named = Fields(choice, "tool_choice")
    named.need("type", named.only("type", "function"))
    name = named.need("name", named.text("name"))
    named.close()
    return {"type": "function", "function": {"name": name}}


def _text(fields: Fields) -> dict[str, Any]:
    text = fields.inner("text")
    if not text:
        return {}
    form, verbosity = text.inner("format"), text.text("verbosity")
    text.close()
    return {"verbosity": verbosity, "response_format": _format(form) if form else None}


def _format(form: Fields) -> dict[str, Any] | None:
    kind = form.need("type", form.text("type"))
    if kind not in {"text", "json_object", "json_schema"}:
        raise form.wrong("type", "one of json_object, json_schema, text")
    schema = _schema(form) if kind == "json_schema" else {}
    form.close()
    return {"type": kind, **schema} if kind != "text" else None


def _schema(form: Fields) -> dict[str, Any]:
    told = {
        "name": form.need("name", form.text("name")),
        "schema": form.need("schema", form.table("schema")),
        "description": form.text("description"),
        "strict": form.switch("strict"),
    }
    return {"json_schema": {key: value for key, value in told.items() if value is not None}}


def _reasoning(fields: Fields) -> dict[str, Any]:
    """What a chat model tells of its reasoning it tells in full, or not at all: `auto` is the only summary there is."""
    reasoning = fields.inner("reasoning")
    if not reasoning:
        return {}
    effort = reasoning.text("effort")
    reasoning.only("summary", "auto")
    reasoning.only("generate_summary", "auto")
    reasoning.only("context", "auto")
    reasoning.only("mode", "standard")
    reasoning.close()
    return {"reasoning_effort": effort}


def _streaming(fields: Fields) -> dict[str, Any]:
    """A stream of events always ends with what it cost."""
    stream, options = fields.switch("stream"), fields.inner("stream_options")
    if options:
        options.only("include_obfuscation", False)
        options.close()
    return {"stream": stream, "stream_options": {"include_usage": True} if stream else None}


def _refuse(fields: Fields) -> None:
    """What would need a store, a runner, or a word that the chat API does not have."""
    if fields.take("previous_response_id") is not None:
        said = "nothing is stored here; send the whole conversation as 'input'"
        raise RequestError(f"'previous_response_id' is of no use: {said}.", param="previous_response_id")
    fields.only("store", False, why=_UNKEPT)
    fields.only("background", False, why=_UNKEPT)
    fields.only("truncation", "disabled")
    fields.only("top_logprobs", 0)
    fields.only("include", [], ["reasoning.encrypted_content"])  # which there is none of: reasoning comes in clear
    for key in ("conversation", "prompt", "context_management", "max_tool_calls", "moderation"):
        fields.only(key)
