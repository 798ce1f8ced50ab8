"""A request to `/v1/messages` as the chat request that asks the same."""

from __future__ import annotations

from typing import Any

from gateway.errors import NotSupported, RequestError
from gateway.wire import body as json_body
from gateway.wire.fields import Fields
from gateway.wire.messages.content import parts, turns

ENDPOINT = "/messages"

_KEEPS = "the gateway keeps nothing and runs nothing for you"
_SAMPLING = "the chat API has no such sampling"


def read(raw: bytes) -> dict[str, Any]:
    """The object that `raw` spells, with a model and messages; `to_chat` reads the rest. Raises `RequestError`."""
    body = json_body.read(raw)
    fields = Fields(body)
    fields.model()
    if not fields.need("messages", fields.array("messages")):
        raise RequestError("'messages' is empty; send at least one message.", param="messages")
    return body


def to_chat(body: dict[str, Any]) -> dict[str, Any]:
    """The chat request that asks what `body` asks.

    Raises `RequestError` (400), `Unprocessable` (422) for fields that Anthropic's API does not have, and
    `NotSupported` (501) for those that the chat API does not have; each names the field. Hints that only price
    (`cache_control`) or only pace (`eager_input_streaming`) are left out.
    """
    fields = Fields(body)
    chat = {"model": fields.text("model"), "messages": [*_system(fields), *_messages(fields)]}
    chat["max_tokens"] = fields.need("max_tokens", fields.count("max_tokens"))
    chat |= _sampling(fields) | _tools(fields) | _output(fields) | _caller(fields) | _streaming(fields)
    _refuse(fields)
    fields.close()
    return {key: value for key, value in chat.items() if value is not None}


def _system(fields: Fields) -> list[dict[str, Any]]:
    content = parts(fields.take("system"), "system", frozenset({"text"}))
    return [{"role": "system", "content": content}] if content else []


def _messages(fields: Fields) -> list[dict[str, Any]]:
    found = fields.need("messages", fields.array("messages"))
    out = [turn for at, message in enumerate(found) for turn in turns(Fields(message, f"messages[{at}]"))]
    if out and out[-1]["role"] == "assistant":
        name = f"messages[{len(found) - 1}].role"
        said = "the chat API cannot go on with an answer that is begun for it; end with what the user says"
        raise NotSupported(f"'{name}' is not supported here: {said}.", param=name)
    return out


def _sampling(fields: Fields) -> dict[str, Any]:
    fields.only("top_k", why=_SAMPLING)
    stop = fields.texts("stop_sequences")
    return {"temperature": fields.number("temperature"), "top_p": fields.number("top_p"), "stop": stop or None}


def _tools(fields: Fields) -> dict[str, Any]:
    tools = [_tool(Fields(tool, f"tools[{at}]")) for at, tool in enumerate(fields.array("tools") or ())]
    choice = fields.inner("tool_choice")
    return {"tools": tools or None, **(_choice(choice) if choice else {})}


def _tool(tool: Fields) -> dict[str, Any]:
    tool.only("type", "custom", why="only tools that the client runs itself are")
    function = {
        "name": tool.need("name", tool.text("name")),
        "description": tool.text("description"),
        "parameters": tool.need("input_schema", tool.table("input_schema")),
        "strict": tool.switch("strict"),
    }
    tool.only("defer_loading", False)
    tool.only("allowed_callers", ["direct"])
    tool.only("input_examples", [])
    tool.drop("cache_control", "eager_input_streaming")
    tool.close()
    return {"type": "function", "function": {key: value for key, value in function.items() if value is not None}}


def _choice(choice: Fields) -> dict[str, Any]:
    kind = choice.need("type", choice.text("type"))
    if kind not in {"auto", "any", "none", "tool"}:
        raise choice.wrong("type", "one of auto, any, none, tool")
    serial = choice.switch("disable_parallel_tool_use")
    asked: Any = {"any": "required"}.get(kind, kind)
    if kind == "tool":
        asked = {"type": "function", "function": {"name": choice.need("name", choice.text("name"))}}
    choice.close()
    return {"tool_choice": asked, "parallel_tool_calls": False if serial else None}


def _output(fields: Fields) -> dict[str, Any]:
    config = fields.inner("output_config")
    if not config:
        return {}
    form = config.inner("format")
    effort = config.text("effort")
    config.close()
    return {"reasoning_effort": effort, "response_format": _format(form) if form else None}


def _format(form: Fields) -> dict[str, Any]:
    if form.text("type") != "json_schema":
        raise form.wrong("type", "json_schema")
    schema = form.need("schema", form.table("schema"))
    form.close()
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}


def _caller(fields: Fields) -> dict[str, Any]:
    metadata = fields.inner("metadata")
    user = metadata.text("user_id") if metadata else None
    if metadata:
        metadata.close()
    tier = fields.only("service_tier", "auto", "standard_only")
    return {"user": user, "service_tier": "default" if tier == "standard_only" else None}


def _streaming(fields: Fields) -> dict[str, Any]:
    """A stream of messages always ends with what it cost."""
    stream = fields.switch("stream")
    return {"stream": stream, "stream_options": {"include_usage": True} if stream else None}


def _refuse(fields: Fields) -> None:
    """What changes the answer and has no place in the chat API."""
    thinking = fields.inner("thinking")
    if thinking:
        thinking.only("type", "disabled", why="ask for an effort instead ('output_config.effort')")
        thinking.close()
    fields.only("speed", "standard")
    for key in ("container", "mcp_servers", "context_management", "user_profile_id", "workspace_id", "diagnostics"):
        fields.only(key, why=_KEEPS)
    fields.only("inference_geo", why="the gateway's routes say where a model is asked")
    fields.drop("cache_control")
