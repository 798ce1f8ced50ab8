"""Tokens that a request may come to, before anybody counted them: what is reserved for it."""

from __future__ import annotations

import re
from typing import Any

from gateway.observe.cost import Usage

_INLINE = re.compile(rb"[A-Za-z0-9+/]{1024,}={0,2}")
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_INLINE_AS_A = bytes(0x41 if byte in _ALPHABET else 0x20 for byte in range(256))
_STEP = 16
_RUN = b"A" * (1024 // _STEP - 1)  # so many of every sixteenth byte at least are of such a thing, one after the other
INLINE_TOKENS = 1600
"""Of an image or a sound that stands in a request as base64: what the largest image costs with OpenAI or Anthropic."""

BYTES_PER_TOKEN = 4  # of a request's JSON; English has a little more, its punctuation makes up for it

_MOST = ("max_completion_tokens", "max_tokens")
_SILENT = frozenset({"/embeddings", "/moderations"})  # endpoints whose answers cost nothing by their length


def usage(raw: bytes, body: dict[str, Any], endpoint: str, assumed: int) -> Usage:
    """Input tokens by the length of `raw`, output tokens as `body` allows, or `assumed` for each choice."""
    size = len(raw)
    inline = 0
    if _RUN in raw[::_STEP].translate(_INLINE_AS_A):
        for found in _INLINE.finditer(raw):
            size -= found.end() - found.start()
            inline += INLINE_TOKENS
    prompt = -(-size // BYTES_PER_TOKEN) + inline
    return Usage(prompt, output=0 if endpoint in _SILENT else _most(body, assumed), estimated=True)


def _most(body: dict[str, Any], assumed: int) -> int:
    said = [body[name] for name in _MOST if type(body.get(name)) is int]
    choices = body.get("n")
    return max(0, min(said, default=assumed)) * (max(1, choices) if type(choices) is int else 1)
