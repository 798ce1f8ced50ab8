"""The items of a conversation as chat messages: what a model said, thought and called in one go is one of them."""

from __future__ import annotations

from typing import Any

from gateway.errors import RequestError
from gateway.wire.body import name_of
from gateway.wire.fields import Fields

Object = dict[str, Any]
Content = str | list[Object]

_ROLES = ("assistant", "developer", "system", "user")


def messages(given: Any, at: str) -> list[Object]:
    """The chat messages that say what the input does, a string or items."""
    if isinstance(given, str):
        return [{"role": "user", "content": given}] if given else []
    if not isinstance(given, list):
        raise RequestError(f"'{at}' must be a string or an array of items, not {name_of(given)}.", param=at)
    out: list[Object] = []
    for index, item in enumerate(given):
        _append(out, _message(Fields(item, f"{at}[{index}]")))
    return out


def _append(out: list[Object], message: Object) -> None:
    """A model's message joins the one before it: chat answers have text and calls together."""
    if message["role"] == "assistant" and out and out[-1]["role"] == "assistant":
        out[-1] = _joined(out[-1], message)
    else:
        out.append(message)


def _joined(first: Object, second: Object) -> Object:
    both = {**first, **second, "content": _both(first["content"], second["content"])}
    if "tool_calls" in first and "tool_calls" in second:
        both["tool_calls"] = [*first["tool_calls"], *second["tool_calls"]]
    for key in ("reasoning_content", "refusal"):
        if key in first and key in second:
            both[key] = first[key] + second[key]
    return both


def _both(first: Content | None, second: Content | None) -> Content | None:
    if not first or not second:
        return first or second
    return [*_parts(first), *_parts(second)]


def _parts(content: Content) -> list[Object]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _message(item: Fields) -> Object:
    kind = item.text("type") or ("message" if item.peek("role") is not None else None)
    item.drop("status")
    match item.need("type", kind):
        case "message":
            return _said(item)
        case "function_call":
            return _called(item)
        case "function_call_output":
            return _returned(item)
        case "reasoning":
            return _thought(item)
        case "item_reference":
            name = item.name("type")
            raise RequestError(f"'{name}': nothing is stored here; send the item itself.", param=name)
        case _:
            raise item.cannot("type")


def _said(item: Fields) -> Object:
    role = item.need("role", item.text("role"))
    if role not in _ROLES:
        raise item.wrong("role", f"one of {', '.join(_ROLES)}")
    content = item.need("content", item.take("content"))
    item.only("phase")
    item.drop("id")
    item.close()
    if isinstance(content, str):
        return {"role": role, "content": content}
    parts = _shown(content, item.name("content"))
    refused = "".join(part["refusal"] for part in parts if part["type"] == "refusal")
    said = _plain([part for part in parts if part["type"] != "refusal"])
    return {"role": role, "content": said, **({"refusal": refused} if refused else {})}


def _plain(parts: list[Object]) -> Content:
    """Many servers read nothing but a string; a lone text is one."""
    if len(parts) == 1 and parts[0]["type"] == "text":
        return str(parts[0]["text"])
    return parts or ""


def _shown(content: Any, at: str) -> list[Object]:
    if not isinstance(content, list):
        raise RequestError(f"'{at}' must be a string or an array of parts, not {name_of(content)}.", param=at)
    return [_part(Fields(part, f"{at}[{index}]")) for index, part in enumerate(content)]


def _part(part: Fields) -> Object:
    kind = part.need("type", part.text("type"))
    part.drop("prompt_cache_breakpoint")
    match kind:
        case "input_text" | "output_text":
            told = {"type": "text", "text": part.need("text", part.text("text"))}
            part.only("annotations", [])
            part.drop("logprobs")
        case "refusal":
            told = {"type": "refusal", "refusal": part.need("refusal", part.text("refusal"))}
        case "input_image":
            told = {"type": "image_url", "image_url": _image(part)}
        case "input_file":
            told = {"type": "file", "file": _file(part)}
        case _:
            raise part.cannot("type")
    part.close()
    return told


def _image(part: Fields) -> Object:
    part.only("file_id", why="send the image itself or its address")
    url, detail = part.need("image_url", part.text("image_url")), part.text("detail")
    if detail == "original":
        raise part.cannot("detail")
    return {"url": url} | ({"detail": detail} if detail else {})


def _file(part: Fields) -> Object:
    part.only("file_url", why="send the file itself")
    part.only("detail", "auto")
    told = {key: value for key in ("filename", "file_data", "file_id") if (value := part.text(key)) is not None}
    if "file_data" not in told and "file_id" not in told:
        part.need("file_data", None)
    return told


def _called(item: Fields) -> Object:
    ident, name = item.need("call_id", item.text("call_id")), item.need("name", item.text("name"))
    arguments = item.need("arguments", item.text("arguments"))
    item.only("namespace")
    item.only("caller", {"type": "direct"})
    item.drop("id")
    item.close()
    call = {"id": ident, "type": "function", "function": {"name": name, "arguments": arguments}}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def _returned(item: Fields) -> Object:
    ident, output = item.need("call_id", item.text("call_id")), item.need("output", item.take("output"))
    item.only("namespace")
    item.only("caller", {"type": "direct"})
    item.drop("id", "name")
    item.close()
    content = output if isinstance(output, str) else _plain(_shown(output, item.name("output")))
    if isinstance(content, list) and any(part["type"] != "text" for part in content):
        raise item.cannot("output", "the chat API takes nothing but text from a tool")
    return {"role": "tool", "tool_call_id": ident, "content": content}


def _thought(item: Fields) -> Object:
    """What the model thought, in clear. A summary or a sealed thought is another provider's."""
    item.only("encrypted_content", why="what cannot be read cannot be judged")
    item.only("summary", [])
    content = item.array("content") or []
    item.drop("id")
    item.close()
    thought = [_reasoned(Fields(part, f"{item.name('content')}[{index}]")) for index, part in enumerate(content)]
    return {"role": "assistant", "content": "", "reasoning_content": "".join(thought)}


def _reasoned(part: Fields) -> str:
    part.need("type", part.only("type", "reasoning_text"))
    text: str = part.need("text", part.text("text"))
    part.close()
    return text
