"""The turns of a conversation and the blocks they are made of, as chat messages and their parts."""

from __future__ import annotations

from typing import Any

import orjson

from gateway.errors import NotSupported, RequestError
from gateway.wire.body import name_of
from gateway.wire.fields import Fields

Part = dict[str, Any]
Content = str | list[Part]

_SEEN = frozenset({"text", "image", "document"})
_FAILED = "Error:"
"""How a model is told that a tool failed: the chat API has no word for it."""


def turns(message: Fields) -> list[dict[str, Any]]:
    """The chat messages that say what `message` says: results of tools are messages of their own there."""
    role, content = message.need("role", message.text("role")), message.need("content", message.take("content"))
    message.close()
    match role:
        case "user":
            return _user(content, message.name("content"))
        case "assistant":
            return [_assistant(content, message.name("content"))]
        case "system":
            return [{"role": "system", "content": parts(content, message.name("content"), frozenset({"text"}))}]
        case _:
            raise message.wrong("role", "one of assistant, system, user")


def parts(content: Any, at: str, kinds: frozenset[str] = _SEEN) -> Content:
    """Text or blocks as chat content: a string where that says it all. Empty where there is none."""
    return _plain([part for block in _blocks(content, at) for part in _shown(block, kinds)])


def _blocks(content: Any, at: str) -> list[Fields]:
    if content is None or isinstance(content, str):
        return [Fields({"type": "text", "text": content}, at)] if content else []
    if not isinstance(content, list):
        raise RequestError(f"'{at}' must be a string or an array of blocks, not {name_of(content)}.", param=at)
    return [Fields(block, f"{at}[{i}]") for i, block in enumerate(content)]


def _plain(found: list[Part]) -> Content:
    """Many servers read nothing but a string; a lone text is one."""
    if len(found) == 1 and found[0]["type"] == "text":
        return str(found[0]["text"])
    return found or ""


def _kind(block: Fields) -> str:
    kind: str = block.need("type", block.text("type"))
    block.drop("cache_control")
    return kind


def _shown(block: Fields, kinds: frozenset[str]) -> list[Part]:
    kind = _kind(block)
    if kind not in kinds:
        raise _cannot(block, kind)
    found = {"text": _text, "image": _image, "document": _document}[kind](block)
    block.close()
    return found


def _cannot(block: Fields, kind: str) -> NotSupported:
    name = block.name("type")
    said = f"'{name}': {kind[:64]!r} cannot stand here in the chat API that models are asked through."
    return NotSupported(said, param=name)


def _text(block: Fields) -> list[Part]:
    block.only("citations", [])
    return [{"type": "text", "text": block.need("text", block.text("text"))}]


def _image(block: Fields) -> list[Part]:
    block.only("transformations")
    source = _source(block)
    match source.text("type"):
        case "base64":
            media = source.need("media_type", source.text("media_type"))
            url = f"data:{media};base64,{source.need('data', source.text('data'))}"
        case "url":
            url = source.need("url", source.text("url"))
        case _:
            raise source.cannot("type", "send the image itself or its address")
    source.close()
    return [{"type": "image_url", "image_url": {"url": url}}]


def _source(block: Fields) -> Fields:
    source: Fields = block.need("source", block.inner("source"))
    return source


def _document(block: Fields) -> list[Part]:
    """A document's title and context go before it, as texts: the chat API knows none."""
    title, context = block.text("title"), block.text("context")
    cited = block.inner("citations")
    if cited:
        cited.only("enabled", False)
        cited.close()
    source = _source(block)
    found = _held(source, title)
    source.close()
    return [*({"type": "text", "text": text} for text in (title, context) if text), *found]


def _held(source: Fields, title: str | None) -> list[Part]:
    """What a document holds: text, blocks, or a file."""
    match source.text("type"):
        case "text":
            source.only("media_type", "text/plain")
            return [{"type": "text", "text": source.need("data", source.text("data"))}]
        case "content":
            kinds = frozenset({"text", "image"})
            held = _blocks(source.take("content"), source.name("content"))
            return [part for block in held for part in _shown(block, kinds)]
        case "base64":
            media = source.only("media_type", "application/pdf") or "application/pdf"
            data = f"data:{media};base64,{source.need('data', source.text('data'))}"
            return [{"type": "file", "file": {"filename": title or "document.pdf", "file_data": data}}]
        case _:
            raise source.cannot("type", "send the document itself")


# Users, and the tools that answer through them


def _user(content: Any, at: str) -> list[dict[str, Any]]:
    """Results of tools and what the user says, in their order."""
    out: list[dict[str, Any]] = []
    said: list[Part] = []
    for block in _blocks(content, at):
        if block.peek("type") == "tool_result":
            out += [*_said(said), _result(block)]
            said = []
        else:
            said += _shown(block, _SEEN)
    return out + _said(said) or [{"role": "user", "content": ""}]


def _said(found: list[Part]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": _plain(found)}] if found else []


def _result(block: Fields) -> dict[str, Any]:
    _kind(block)
    block.only("toolset_name")
    ident = block.need("tool_use_id", block.text("tool_use_id"))
    content = _texts(parts(block.take("content"), block.name("content"), frozenset({"text", "document"})), block)
    failed = block.switch("is_error")
    block.close()
    return {"role": "tool", "tool_call_id": ident, "content": _marked(content) if failed else content}


def _texts(content: Content, block: Fields) -> Content:
    if isinstance(content, list) and any(part["type"] != "text" for part in content):
        raise block.cannot("content", "the chat API takes nothing but text from a tool")
    return content


def _marked(content: Content) -> Content:
    if isinstance(content, str):
        return f"{_FAILED} {content}".rstrip() if content else _FAILED
    return [{"type": "text", "text": _FAILED}, *content]


# Assistants


def _assistant(content: Any, at: str) -> dict[str, Any]:
    """What the model said, thought and called, each in one place as a chat answer has them."""
    said: list[Part] = []
    thought: list[str] = []
    calls: list[Part] = []
    for block in _blocks(content, at):
        match block.peek("type"):
            case "thinking":
                thought.append(_thought(block))
            case "tool_use":
                calls.append(_call(block))
            case _:
                said += _shown(block, frozenset({"text"}))
    message: dict[str, Any] = {"role": "assistant", "content": _plain(said) or (None if calls else "")}
    message |= {"reasoning_content": "".join(thought)} if thought else {}
    return message | ({"tool_calls": calls} if calls else {})


def _thought(block: Fields) -> str:
    """The text; the signature proves to Anthropic alone that it is Claude's."""
    _kind(block)
    text: str = block.need("thinking", block.text("thinking"))
    block.text("signature")
    block.close()
    return text


def _call(block: Fields) -> Part:
    _kind(block)
    block.only("toolset_name")
    block.only("caller", {"type": "direct"})
    ident, name = block.need("id", block.text("id")), block.need("name", block.text("name"))
    given = block.need("input", block.table("input"))
    block.close()
    return {"id": ident, "type": "function", "function": {"name": name, "arguments": orjson.dumps(given).decode()}}
